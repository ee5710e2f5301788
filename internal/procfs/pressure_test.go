package procfs

import (
	"reflect"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func TestPressure(t *testing.T) {
	some := &oom.PressureTime{Avg10Percent: oom.Some(12.34), Avg60Percent: oom.Some(3.0), Avg300Percent: oom.Some(0.5), TotalNS: oom.Some[uint64](3128887000)}
	full := &oom.PressureTime{Avg10Percent: oom.Some(0.0), Avg60Percent: oom.Some(0.0), Avg300Percent: oom.Some(0.0), TotalNS: oom.Some[uint64](0)}
	for _, tc := range []struct {
		name, text string
		want       *oom.Pressure
	}{
		{"both lines", "some avg10=12.34 avg60=3.00 avg300=0.50 total=3128887\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", &oom.Pressure{Some: some, Full: full}},
		{"cut short", "some avg10=12.34 avg60=3.00 avg300=0.50 total=3128887\nfu", &oom.Pressure{Some: some}},
		{"no share", "some avg10=101 avg60=-1 avg300=NaN total=1\n", &oom.Pressure{Some: &oom.PressureTime{TotalNS: oom.Some[uint64](1000)}}},
		{"more time than there is", "some avg10=1 total=18446744073709551615\n", &oom.Pressure{Some: &oom.PressureTime{Avg10Percent: oom.Some(1.0)}}},
		{"nothing", "", nil},
		{"rubbish", "some\nfull avg10\n\n\x00 =\n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Pressure(tc.text); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}
