package harden

import (
	"runtime"
	"runtime/metrics"
)

// Collector collects garbage while no record waits. Left to the runtime, a collection
// begins with an allocation: most likely in the middle of a record, which then takes
// several times as long. One goroutine may use it.
type Collector struct {
	heap       [3]metrics.Sample
	want, done chan struct{}
}

// NewCollector starts one. Close it.
func NewCollector() *Collector {
	c := &Collector{want: make(chan struct{}), done: make(chan struct{})}
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

// Rest says that there may be time. Where it is time to collect, waits is asked whether a
// record waits. It returns at once.
func (c *Collector) Rest(waits func() bool) {
	metrics.Read(c.heap[:])
	if !isDue(c.heap[0].Value.Uint64(), c.heap[1].Value.Uint64(), c.heap[2].Value.Uint64()) || waits() {
		return
	}
	select {
	case c.want <- struct{}{}:
	default: // a collection is under way
	}
}

// leastRoom is what garbage has of room at the least where collections are worth asking
// for: with less, a heap near its limit would be collected for every record.
const leastRoom = 512 << 10

// isDue says that two thirds of what may become garbage are used: the runtime begins by
// itself at seven tenths or later (runtime/mgcpacer.go, trigger).
func isDue(objects, live, goal uint64) bool {
	return objects > live && goal >= live+leastRoom && (objects-live)/2 >= (goal-live)/3
}

// Close waits for a collection that has begun.
func (c *Collector) Close() {
	close(c.want)
	<-c.done
}
