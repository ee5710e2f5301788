package render

import (
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

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
		for _, field := range v.Fields() {
			f.fill(field)
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
	case reflect.Uint8:
		// Of raw JSON.
	case reflect.Float64:
		v.SetFloat(float64(f.number))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(f.number)
	default:
		panic("a kind of field that is new: " + v.Kind().String())
	}
}

func (f *filler) record() *oom.Record {
	rec := &oom.Record{}
	f.fill(reflect.ValueOf(rec).Elem())
	rec.Finished, rec.Unknown = false, nil
	return rec
}
