package kernlog

import (
	"slices"
	"testing"
)

// TestFindMovesNoRows: a table whose rows come between kills is not put in order for each of them.
func TestFindMovesNoRows(t *testing.T) {
	var table taskTable
	for i := range 100 {
		pid := int32(100 - i/2)
		if !table.add(pid, []column{colUID, colRSS}, []int64{int64(i), 1}, []byte("a")) {
			t.Fatal("no row")
		}
		if r := table.find(pid); r == nil || int(r.uid) != i-i%2 || table.find(1) != nil {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
	if !slices.IsSortedFunc(table.rows, func(a, b row) int { return int(a.uid) - int(b.uid) }) {
		t.Error("the rows were moved")
	}
}
