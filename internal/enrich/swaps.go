package enrich

import (
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// sampledSwaps is the name of the block in Record.Sampled.
const sampledSwaps = "memory.swap_devices"

// maxSwaps bounds what is read of /proc/swaps, in bytes.
const maxSwaps = 64 << 10

// sample adds what no hook can read at the kill: the swap devices. Only for
// kills of just now: those of a log are long over.
func (e *Enricher) sample(rec *oom.Record) {
	if rec.Source != oom.SourceBPF || rec.Kind != oom.KindKill && rec.Kind != oom.KindNoVictim {
		return
	}
	if m := rec.Memory; m != nil {
		if total, ok := m.SwapTotalBytes.Get(); len(m.SwapDevices) > 0 || ok && total == 0 {
			return
		}
	}
	f, err := os.Open(e.swaps)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSwaps))
	if err != nil {
		return
	}
	devices := parseSwaps(string(b))
	if len(devices) == 0 {
		return
	}
	if rec.Memory == nil {
		rec.Memory = &oom.Memory{}
	}
	rec.Memory.SwapDevices = append(rec.Memory.SwapDevices, devices...)
	rec.Sampled = append(rec.Sampled, sampledSwaps)
}

// parseSwaps reads /proc/swaps (mm/swapfile.c, swap_show): a title, then name,
// type, size and used in KiB, and priority.
func parseSwaps(text string) []oom.SwapDevice {
	_, text, _ = strings.Cut(text, "\n")
	var out []oom.SwapDevice
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		d := oom.SwapDevice{Name: strings.TrimSuffix(unescape(f[0]), " (deleted)"), Type: f[1]}
		d.SizeBytes, d.UsedBytes = kib(f[2]), kib(f[3])
		if n, err := strconv.ParseInt(f[4], 10, 32); err == nil {
			d.Priority = oom.Some(int32(n))
		}
		out = append(out, d)
	}
	return out
}

func kib(s string) oom.Opt[uint64] {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > 1<<53 {
		return oom.Opt[uint64]{}
	}
	return oom.Some(n << 10)
}

// unescape undoes the octal escapes of blanks in a file's name.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
