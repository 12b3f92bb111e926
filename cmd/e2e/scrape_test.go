package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// sample is one of a scrape.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// scrape is all samples by name; of histograms and summaries their parts.
type scrape map[string][]sample

// parseScrape reads Prometheus' text format as Prometheus does.
func parseScrape(t testing.TB, text []byte) scrape {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	all := scrape{}
	for name, family := range families {
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			add := func(suffix string, value float64) {
				all[name+suffix] = append(all[name+suffix], sample{name + suffix, labels, value})
			}
			switch {
			case m.Histogram != nil:
				add("_count", float64(m.Histogram.GetSampleCount()))
				add("_sum", m.Histogram.GetSampleSum())
				for _, b := range m.Histogram.GetBucket() {
					labels := maps.Clone(labels)
					labels["le"] = fmt.Sprint(b.GetUpperBound())
					all[name+"_bucket"] = append(all[name+"_bucket"], sample{name + "_bucket", labels, float64(b.GetCumulativeCount())})
				}
			case m.Counter != nil:
				add("", m.Counter.GetValue())
			case m.Gauge != nil:
				add("", m.Gauge.GetValue())
			case m.Untyped != nil:
				t.Errorf("%s has no type", name)
			}
		}
	}
	return all
}

// value is that of the one sample whose labels are, among others, these.
func (s scrape) value(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	var found []sample
	for _, one := range s[name] {
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && one.labels[labels[i]] == labels[i+1]
		}
		if fits {
			found = append(found, one)
		}
	}
	if len(found) != 1 {
		t.Errorf("%s%v has %d samples, of %v", name, labels, len(found), s[name])
		return -1
	}
	return found[0].value
}

func (s scrape) want(t testing.TB, want float64, name string, labels ...string) {
	t.Helper()
	if got := s.value(t, name, labels...); got != want {
		t.Errorf("%s%v is %v, want %v", name, labels, got, want)
	}
}

// names are all, sorted.
func (s scrape) names() []string { return slices.Sorted(maps.Keys(s)) }

// metricsSocket is where the rig's server shows metrics, by the flag
// --metrics-listen unix:… with it.
func metricsSocket(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "m.sock")
}

// scrape scrapes a server, which shows nothing that nobody may see.
func scrapeSocket(t testing.TB, socket string) scrape {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	res, err := client.Get("http://server/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return readScrape(t, res)
}

func readScrape(t testing.TB, res *http.Response) scrape {
	t.Helper()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", res.Status, err, text)
	}
	for _, secret := range []string{"$6$", "user-0", "user-a", "acme"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is in a scrape", secret)
		}
	}
	return parseScrape(t, text)
}
