package harden

import (
	"runtime"
	"runtime/metrics"
)

// Collector collects garbage while no record waits. Left to the runtime, a collection
// begins with the allocation that finds the heap full: in the middle of a record, which
// then takes several times as long. One goroutine may use it.
type Collector struct {
	heap       [3]metrics.Sample
	want, done chan struct{}
}

// NewCollector starts one. Close it.
func NewCollector() *Collector {
	c := &Collector{want: make(chan struct{}, 1), done: make(chan struct{})}
	for i, name := range [...]string{"/memory/classes/heap/objects:bytes", "/gc/heap/live:bytes", "/gc/heap/goal:bytes"} {
		c.heap[i].Name = name
	}
	metrics.Read(c.heap[:]) // the first makes what the others use
	go func() {
		defer close(c.done)
		for range c.want {
			runtime.GC()
		}
	}()
	return c
}

// Rest says that nothing waits. It returns at once.
func (c *Collector) Rest() {
	metrics.Read(c.heap[:])
	if !isDue(c.heap[0].Value.Uint64(), c.heap[1].Value.Uint64(), c.heap[2].Value.Uint64()) {
		return
	}
	select {
	case c.want <- struct{}{}:
	default: // it is at it
	}
}

// isDue says that three quarters of what may become garbage are used: the rest is for
// what comes before the collection is done.
func isDue(objects, live, goal uint64) bool {
	return objects > live && goal > live && (objects-live)/3 >= (goal-live)/4
}

// Close waits for a collection that has begun.
func (c *Collector) Close() {
	close(c.want)
	<-c.done
}
