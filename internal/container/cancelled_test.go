package container

import (
	"context"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/oomtrace/oomtrace/internal/cgroup"
)

// cancelling is an engine that cancels all questions by itself, at once.
type cancelling struct {
	client
	n    int // of the questions that it waits for
	mu   sync.Mutex
	here int
	all  chan struct{}
}

func (b *cancelling) get(ctx context.Context, _ string) (*Info, error) {
	b.mu.Lock()
	if b.here++; b.here == b.n {
		close(b.all)
	}
	b.mu.Unlock()
	<-b.all
	return nil, b.refused(ctx, "ask", status.Error(codes.Canceled, "context canceled"), ErrNoRuntime)
}
func (b *cancelling) hello(context.Context) error { return nil }
func (b *cancelling) version() string             { return "" }

// TestCancelled: an engine that cancels questions fails, once for all that were under way, and
// is not asked for a container without end. That this process ends them is no failure of it.
func TestCancelled(t *testing.T) {
	for name, ours := range map[string]bool{"the engine": false, "this process": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := &source{
				cache: engines(t), rank: rankRuntime, wake: make(chan struct{}, 1), pending: map[*entry]*ask{},
				back: &cancelling{n: parallel, all: make(chan struct{})},
			}
			var asks []*ask
			for n := range parallel {
				p := &cgroup.Place{Cgroup: "/" + id(n)}
				e, _ := s.cache.enter(p, id(n))
				a := &ask{e: e, index: -1}
				s.pending[e] = a
				s.count(a, 1)
				asks = append(asks, a)
			}
			if ours {
				cancel()
			}
			var wg sync.WaitGroup
			for _, a := range asks {
				wg.Go(func() { s.answer(ctx, a) })
			}
			wg.Wait()
			want := 1
			if ours {
				want = 0
			}
			if s.fails != want || s.ok {
				t.Errorf("%d failures, ok %v", s.fails, s.ok)
			}
			if len(s.asks) != 0 && (s.asks[0].try != 1 || ours) {
				t.Errorf("try %d", s.asks[0].try)
			}
		})
	}
}
