package oom

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestUnknownFields(t *testing.T) {
	for _, tt := range []struct{ name, line, unknown string }{
		{"none", `{"schema":1,"victim":{"pid":7,"pod":{"name":"a"}},"memory":{"stat":{"x_bytes":1}}}`, ""},
		{"at the top", `{"schema":1,"new":{"a":[1]},"id":"x"}`, `{"new":{"a":[1]}}`},
		{"in an embedded block", `{"victim":{"pod":{"name":"a","zone":"b"},"rss_bytes":1}}`, `{"victim":{"pod":{"zone":"b"}}}`},
		{"in an array", `{"candidates":[{"pid":1},{"pid":2,"nice":3}]}`, `{"candidates":[null,{"nice":3}]}`},
		{"null and numbers", `{"a":null,"b":1e400}`, `{"a":null,"b":1e400}`},
		{"no object", `[1,2]`, ""},
		{"a block of another type", `{"victim":7,"candidates":"x"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := UnknownFields([]byte(tt.line))
			if string(got) != tt.unknown {
				t.Errorf("got %s, want %s", got, tt.unknown)
			}
		})
	}
}

func TestAddUnknownFields(t *testing.T) {
	for _, tt := range []struct{ name, line, unknown, want string }{
		{"behind the known", `{"schema":1,"id":"x"}`, `{"new":2}`, `{"schema":1,"id":"x","new":2}`},
		{"within", `{"victim":{"pid":7},"id":"x"}`, `{"victim":{"a":1},"b":2}`, `{"victim":{"pid":7,"a":1},"id":"x","b":2}`},
		{"in an array", `{"candidates":[{"pid":1},{"pid":2}]}`, `{"candidates":[null,{"nice":3}]}`, `{"candidates":[{"pid":1},{"pid":2,"nice":3}]}`},
		{"in an array that was cut", `{"candidates":[{"pid":1}]}`, `{"candidates":[null,{"nice":3}]}`, `{"candidates":[{"pid":1}]}`},
		{"known fields are never replaced", `{"id":"x"}`, `{"id":"y"}`, `{"id":"x"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := AddUnknownFields([]byte(tt.line+"\n"), json.RawMessage(tt.unknown))
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestMapStrings(t *testing.T) {
	got, err := MapStrings(json.RawMessage(`{"a":"x","b":["y",{"c":"z"}],"d":1}`), strings.ToUpper)
	if want := `{"a":"X","b":["Y",{"c":"Z"}],"d":1}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}
