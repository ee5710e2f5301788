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
		{"blanks and line ends are not kept", "{\"a\":[ \r\n{\"id\":\"x y\"} ,1 ]}", `{"a":[{"id":"x y"},1]}`},
		{"another case, a long s among it", `{"ID":"x","\u017fchema":1,"ſender":{"pid":1}}`, ""},
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
	const deep = 9000
	for _, tt := range []struct{ name, json, want string }{
		{"none", ``, ``},
		{"keys stay", `{"a":"x","b":["y",{"c" : "z"}],"d":1}`, `{"a":"X","b":["Y",{"c" : "Z"}],"d":1}`},
		{"a string", `"x"`, `"X"`},
		{"nothing in it", `{"a":{},"b":[],"c":[{}],"d":""}`, `{"a":{},"b":[],"c":[{}],"d":""}`},
		{"escapes", `{"a\"b":"x\\","c":"\"y\":","d":"\u00e4"}`, `{"a\"b":"X\\","c":"\"Y\":","d":"Ä"}`},
		{"deep", strings.Repeat(`[`, deep) + `"x"` + strings.Repeat(`]`, deep), strings.Repeat(`[`, deep) + `"X"` + strings.Repeat(`]`, deep)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := MapStrings(json.RawMessage(tt.json), strings.ToUpper)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %.200s, %v; want %.200s", got, err, tt.want)
			}
		})
	}
	once := testing.AllocsPerRun(1, func() {
		_, _ = MapStrings(json.RawMessage(strings.Repeat(`[`, deep)+strings.Repeat(`]`, deep)), strings.ToUpper)
	})
	if once > 100 {
		t.Errorf("%v allocations for %d levels", once, deep)
	}
}

// FuzzMapStrings holds that JSON stays JSON, with the same shape.
func FuzzMapStrings(f *testing.F) {
	f.Add(`{"a":{},"b":["x\\",null,1e9,"\ud800"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		once, err := MapStrings(json.RawMessage(text), strings.ToUpper)
		if err != nil || !json.Valid(once) {
			t.Fatalf("%q gives %q, %v", text, once, err)
		}
		if twice, err := MapStrings(once, strings.ToUpper); err != nil || string(twice) != string(once) {
			t.Fatalf("%q gives %q, then %q, %v", text, once, twice, err)
		}
	})
}
