package metrics

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// exposition writes Prometheus' text format, version 0.0.4.
type exposition struct{ bytes.Buffer }

const prefix = "pwb_agent_"

// metric begins a metric; help has no line break and no backslash.
func (b *exposition) metric(name, kind, help string) {
	b.WriteString("# HELP " + prefix + name + " " + help + "\n# TYPE " + prefix + name + " " + kind + "\n")
}

func (b *exposition) sample(name string, value float64, labels ...string) {
	b.WriteString(prefix + name)
	for i := 0; i < len(labels); i += 2 {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(labels[i] + `="` + escape.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		b.WriteByte('}')
	}
	b.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (b *exposition) gauge(name, help string, value float64, labels ...string) {
	b.metric(name, "gauge", help)
	b.sample(name, value, labels...)
}

func (b *exposition) counter(name, help string, value float64) {
	b.metric(name, "counter", help)
	b.sample(name, value)
}

// time is a gauge in seconds since 1970; a time that is not known has none.
func (b *exposition) time(name, help string, t time.Time) {
	if !t.IsZero() {
		b.gauge(name, help, float64(t.UnixMilli())/1000)
	}
}
