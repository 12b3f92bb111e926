package scim

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeObjectReadsJSON(t *testing.T) {
	got, err := DecodeObject([]byte(` {"a": [1, -2.5, 1e3, true, false, null, {}], "ü\n\u00e9\ud83d\ude00": "\"\\\/\b\f\n\r\t", "big": 9223372036854775808, "n": 9223372036854775807} `))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a":     []any{int64(1), -2.5, 1000.0, true, false, nil, map[string]any{}},
		"ü\né😀": "\"\\/\b\f\n\r\t",
		"big":   9223372036854775808.0,
		"n":     int64(9223372036854775807),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func TestDecodeObjectRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                         ``,
		"an array":                        `[]`,
		"a string":                        `"a"`,
		"a second object":                 `{} {}`,
		"an open object":                  `{"a":1`,
		"an open array":                   `{"a":[1`,
		"an open string":                  `{"a":"b`,
		"an open escape":                  `{"a":"\`,
		"a name without quotes":           `{a:1}`,
		"a missing colon":                 `{"a" 1}`,
		"a missing value":                 `{"a":}`,
		"a trailing comma in an object":   `{"a":1,}`,
		"a trailing comma in an array":    `{"a":[1,]}`,
		"a leading zero":                  `{"a":01}`,
		"a bare minus":                    `{"a":-}`,
		"a point without digits":          `{"a":1.}`,
		"an exponent without digits":      `{"a":1e}`,
		"a number beyond float64":         `{"a":1e999}`,
		"NaN":                             `{"a":NaN}`,
		"a single quote":                  `{'a':1}`,
		"a raw newline in a string":       "{\"a\":\"\n\"}",
		"a raw newline after an escape":   "{\"a\":\"\\n\n\"}",
		"half a surrogate pair":           `{"a":"\ud83d"}`,
		"a pair that is none":             `{"a":"\ud83d\u0041"}`,
		"the second half first":           `{"a":"\ude00\ud83d"}`,
		"an unknown escape":               `{"a":"\x"}`,
		"too few hexadecimal digits":      `{"a":"\u12"}`,
		"a sign among hexadecimal digits": `{"a":"\u+123"}`,
		"invalid UTF-8":                   "{\"a\":\"\xff\"}",
		"a byte order mark":               "\ufeff{}",
		"one name twice":                  `{"a":1,"b":2,"a":1}`,
		"one name in two spellings":       `{"a":1,"\u0061":1}`,
		"one name twice further down":     `{"x":[{"a":1,"a":2}]}`,
		"too many levels":                 strings.Repeat(`{"a":`, MaxDepth+1) + `1` + strings.Repeat(`}`, MaxDepth+1),
		"too many arrays":                 `{"a":` + strings.Repeat(`[`, 1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeObject([]byte(text))
			wantError(t, err, InvalidSyntax)
		})
	}
}

func TestDecodeObjectTakesAsManyLevelsAsItSays(t *testing.T) {
	object(t, strings.Repeat(`{"a":`, MaxDepth)+`1`+strings.Repeat(`}`, MaxDepth))
}

func TestErrorBodyHasTheShapeOfTheProtocol(t *testing.T) {
	var got map[string]any
	if err := json.Unmarshal(Errorf(409, Uniqueness, "userName %q is taken", "a").Body(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"schemas": []any{ErrorURN}, "status": "409", "scimType": "uniqueness", "detail": `userName "a" is taken`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if body := string(Errorf(404, "", "no such user").Body()); strings.Contains(body, "scimType") {
		t.Errorf("an empty scimType stands in %s", body)
	}
	if s := Errorf(404, "", "no such user").Error(); s != "scim: 404: no such user" {
		t.Errorf("Error() = %q", s)
	}
}
