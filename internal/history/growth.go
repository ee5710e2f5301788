package history

import "github.com/oomtrace/oomtrace/internal/oom"

// finish adds the usage at the kill and what follows from the points.
func finish(h *oom.History, usage uint64) {
	h.Points = append(h.Points, oom.HistoryPoint{Bytes: usage})
	first := h.Points[0]
	h.SpanNS, h.StartBytes = oom.Some(first.AgoNS), oom.Some(first.Bytes)
	var peak uint64
	for _, p := range h.Points {
		peak = max(peak, p.Bytes)
	}
	h.PeakBytes = oom.Some(peak)
	h.RateBytesPerS = rate(h.Points)
}

// rate is the growth over the last rise: back from the kill as long as, apart from
// dips of at most a tenth of it, it goes down. Unknown where all is one point.
func rate(points []oom.HistoryPoint) oom.Opt[int64] {
	n := len(points) - 1
	if n < 1 {
		return oom.Opt[int64]{}
	}
	end := points[n]
	low := n
	for i := n - 1; i >= 0; i-- {
		if points[i].Bytes <= points[low].Bytes {
			low = i
			continue
		}
		// A level that lies above the lowest by more than a dip begins before
		// the rise.
		if rise := int64(end.Bytes) - int64(points[low].Bytes); int64(points[i].Bytes-points[low].Bytes)*10 > rise {
			break
		}
	}
	if low == n { // it shrank, or stood
		low = n - 1
	}
	// The flat part before the rise is none of it.
	for low < n-1 && int64(points[low+1].Bytes)-int64(points[low].Bytes) <= (int64(end.Bytes)-int64(points[low].Bytes))/100 {
		low++
	}
	took := points[low].AgoNS // end is at the kill
	if took == 0 {
		return oom.Opt[int64]{}
	}
	return oom.Some(int64(float64(int64(end.Bytes)-int64(points[low].Bytes)) / float64(took) * 1e9))
}
