package oom

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/record.schema.json")

const schemaPath = "../../docs/record.schema.json"

// constraints are what the types do not say, by JSON path.
func constraints() map[string]map[string]any {
	enum := func(v ...any) map[string]any { return map[string]any{"enum": v} }
	return map[string]map[string]any{
		"schema":                enum(Schema),
		"kind":                  enum(KindKill, KindAlreadyExiting, KindNoVictim, KindExit, KindLost, KindOOM, KindPanic, KindSigkill),
		"lost_kind":             enum(LostKill, LostNoVictim, LostExit, LostUnreadable, LostSigkill, LostLogLines),
		"source":                enum(SourceBPF, SourceKmsg),
		"scope":                 enum(ScopeSystem, ScopeCgroup, ScopeCpuset, ScopeMempolicy),
		"limit.level":           enum(LevelContainer, LevelPod, LevelQoS, LevelKubepods, LevelService, LevelScope, LevelSlice, LevelCgroup, LevelRoot),
		"holders.level":         enum(LevelContainer, LevelPod, LevelQoS, LevelKubepods, LevelService, LevelScope, LevelSlice, LevelCgroup, LevelRoot),
		"panic":                 enum(PanicOnOOM, PanicNoKillable),
		"cause":                 enum(CauseUser, CauseCgroupKill, CausePIDNamespace, CauseSharedMM, CauseMemoryManager, CauseKernel),
		"sender.role":           enum(RoleMemoryManager, RoleRuntime, RoleServiceManager),
		"history.source":        enum(HistoryExact, HistorySampled),
		"memory.history.source": enum(HistoryExact, HistorySampled),
		"victim.pod.qos":        enum("guaranteed", "burstable", "besteffort"),
		"trigger.pod.qos":       enum("guaranteed", "burstable", "besteffort"),
		"memory.swappiness":     {"maximum": 200},
		"victim.oom_score_adj":  {"minimum": -1000, "maximum": 1000},
		"trigger.oom_score_adj": {"minimum": -1000, "maximum": 1000},
		"trigger.order":         {"minimum": -1, "maximum": 32},
		"limit.version":         enum(1, 2),
		"id":                    {"minLength": 1},
		"why.verdict":           {"pattern": "^[a-z0-9_]+$"},
	}
}

// TestSchema keeps docs/record.schema.json equal to the types; -update writes it.
func TestSchema(t *testing.T) {
	c := constraints()
	s := object("", reflect.TypeFor[Record](), c)
	for path := range c {
		t.Errorf("constraint for %s, which does not exist", path)
	}
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "oomtrace record"
	s["allOf"] = []any{
		kindNeeds("kill", "time", "victim"), kindNeeds("already_exiting", "time", "victim"),
		kindNeeds("exit", "victim", "exit"), kindNeeds("lost", "lost"),
		kindNeeds("panic", "panic"), kindNeeds("sigkill", "time", "victim", "cause"),
	}
	got, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(schemaPath, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/record.schema.json differs from the types: run the test with -update")
	}
}

// TestRecordReference: docs/record.md names every field.
func TestRecordReference(t *testing.T) {
	doc, err := os.ReadFile("../../docs/record.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(typ reflect.Type)
	seen := map[reflect.Type]bool{}
	walk = func(typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		for name, f := range fields(typ) {
			if !strings.Contains(string(doc), "`"+name+"`") && !strings.Contains(string(doc), "."+name+"`") {
				t.Errorf("field %q of %s is not in docs/record.md", name, typ.Name())
			}
			if e := element(f); e.Kind() == reflect.Struct && e != reflect.TypeFor[time.Time]() {
				walk(e)
			}
		}
	}
	walk(reflect.TypeFor[Record]())
}

// element is the type behind pointers, slices and Opt.
func element(t reflect.Type) reflect.Type {
	for {
		switch {
		case t == reflect.TypeFor[Stats](), t == reflect.TypeFor[time.Time]():
			return t
		case t.Kind() == reflect.Pointer, t.Kind() == reflect.Slice:
			t = t.Elem()
		case strings.HasPrefix(t.Name(), "Opt["):
			f, _ := t.FieldByName("Value")
			t = f.Type
		default:
			return t
		}
	}
}

func kindNeeds(kind string, names ...string) map[string]any {
	return map[string]any{
		"if":   map[string]any{"properties": map[string]any{"kind": map[string]any{"const": kind}}},
		"then": map[string]any{"required": names},
	}
}

// fields lists a struct's JSON fields, embedded ones included.
func fields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		if f.Anonymous {
			maps.Copy(out, fields(f.Type))
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			out[name] = f.Type
		}
	}
	return out
}

func object(path string, t reflect.Type, c map[string]map[string]any) map[string]any {
	props := map[string]any{}
	for name, ft := range fields(t) {
		p := strings.TrimPrefix(path+"."+name, ".")
		s := value(p, ft, c)
		maps.Copy(s, c[p])
		delete(c, p)
		props[name] = s
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": props}
	if path == "" {
		s["required"] = []string{"schema", "id", "kind", "source"}
	}
	return s
}

func value(path string, t reflect.Type, c map[string]map[string]any) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[Stats]():
		return map[string]any{
			"type": "object", "propertyNames": map[string]any{"pattern": "_bytes$"},
			"additionalProperties": map[string]any{"type": "integer", "minimum": 0},
		}
	case strings.HasPrefix(t.Name(), "Opt["):
		f, _ := t.FieldByName("Value")
		return value(path, f.Type, c)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return value(path, t.Elem(), c)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": value(path, t.Elem(), c)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}}
	case reflect.Struct:
		return object(path, t, c)
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	}
	return map[string]any{"type": "integer"}
}
