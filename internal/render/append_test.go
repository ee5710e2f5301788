package render

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// byEncodingJSON is what Write has to write.
func byEncodingJSON(t *testing.T, rec *oom.Record) []byte {
	t.Helper()
	b, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	return append(escapeControls(b), '\n')
}

func checkSame(t *testing.T, rec *oom.Record) {
	t.Helper()
	if got, want := writeJSON(t, rec), byEncodingJSON(t, rec); !bytes.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// filler sets every field there is: any of them may be empty, zero or unknown.
type filler struct {
	random *rand.Rand
	text   string
	number uint64
	// full leaves nothing out.
	full bool
}

func (f *filler) fill(v reflect.Value) {
	if !f.full && f.random.IntN(4) == 0 {
		return // the zero value
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		zone := time.FixedZone("", f.random.IntN(20*3600)/60*60-10*3600)
		v.Set(reflect.ValueOf(time.Unix(f.random.Int64N(1<<35), f.random.Int64N(1e9)).In(zone)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		n := f.random.IntN(3)
		if f.full {
			n = 2
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n)) // empty is not nil
		for i := range n {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{f.text: f.text, "b": f.text, "a": "1", "\xff": "", "\xfe": "2"}))
	case reflect.String:
		v.SetString(f.text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.number))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(f.number)
	default:
		panic("a kind of field that is new: " + v.Kind().String())
	}
}

func (f *filler) record() *oom.Record {
	rec := &oom.Record{}
	f.fill(reflect.ValueOf(rec).Elem())
	return rec
}

// TestLikeEncodingJSON compares the line with that of encoding/json.
func TestLikeEncodingJSON(t *testing.T) {
	for _, e := range records() {
		t.Run(e.name, func(t *testing.T) { checkSame(t, e.rec) })
	}
	t.Run("nothing", func(t *testing.T) { checkSame(t, &oom.Record{}) })
	t.Run("no record", func(t *testing.T) { checkSame(t, nil) })
	t.Run("everything", func(t *testing.T) {
		f := filler{random: rand.New(rand.NewPCG(1, 1)), text: "a\"<b>&\u2028\x01\b\f", number: 1<<63 + 7, full: true}
		checkSame(t, f.record())
	})
	t.Run("every character", func(t *testing.T) {
		for r := rune(0); r <= 0x10ffff; r += 256 {
			var b []byte
			for c := r; c < r+256; c++ {
				b = append(b, string(c)...)
			}
			checkSame(t, &oom.Record{ID: string(b)})
		}
	})
}

// TestTimeOutOfRange: encoding/json refuses such a time, too.
func TestTimeOutOfRange(t *testing.T) {
	rec := &oom.Record{ID: "x", Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err := NewJSON(io.Discard).Write(rec); err == nil {
		t.Error("no error")
	}
}

// odd has what no record has, for the ways that lead to encoding/json.
type odd struct {
	Bytes   []byte
	Float   float64         `json:"float,omitempty"`
	Any     any             `json:"any,omitempty"`
	Map     map[string]int  `json:"map,omitempty"`
	Out     int             `json:"-"`
	Nothing *int            `json:"nothing"`
	Zero    struct{ A int } `json:"zero,omitzero"`
	hidden  int
}

func TestOddTypes(t *testing.T) {
	one := 1
	for _, v := range []*odd{{}, {Bytes: []byte("\x7f"), Float: 1.5, Any: "\x7f\u202e", Map: map[string]int{"b": 1, "a": 2}, Nothing: &one, hidden: 1}} {
		got, err := appenderOf(reflect.TypeFor[*odd]())(nil, reflect.ValueOf(v))
		want, wantErr := json.Marshal(v)
		if err != nil || wantErr != nil || !bytes.Equal(got, escapeControls(want)) {
			t.Errorf("%s, %v; want %s, %v", got, err, want, wantErr)
		}
	}
}

func FuzzLikeEncodingJSON(f *testing.F) {
	for i, s := range []string{"", "a\nb\r\tc\b\f\v", "\x1b[2J", "a\xff\xc3", "\u202e\u2066\u2028\u2029", "\u009b\x7f", "箱⚡", "\U000e0041", `</script>"'&\`, "\ufffd"} {
		f.Add(s, uint64(1)<<(6*i), uint64(i))
	}
	f.Add("overflow", ^uint64(0), uint64(77))
	f.Fuzz(func(t *testing.T, s string, n, seed uint64) {
		fill := filler{random: rand.New(rand.NewPCG(seed, n)), text: s, number: n}
		checkSame(t, fill.record())
	})
}

func TestJSONDoesNotAllocate(t *testing.T) {
	f := filler{random: rand.New(rand.NewPCG(1, 1)), text: "a\"<b>&\u2028\x01箱\xff\u202e", number: 1 << 40, full: true}
	for _, e := range append(records(), example{"everything", f.record()}) {
		t.Run(e.name, func(t *testing.T) {
			j := NewJSON(io.Discard)
			if n := testing.AllocsPerRun(100, func() {
				if err := j.Write(e.rec); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkJSON(b *testing.B) {
	rec := cgroupKill()
	b.Run("append", func(b *testing.B) {
		j := NewJSON(io.Discard)
		b.ReportAllocs()
		for b.Loop() {
			if err := j.Write(rec); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(rec); err != nil {
				b.Fatal(err)
			}
		}
	})
}
