// Package probe holds the compiled BPF programs and the Go types of their wire
// structs, as bpf2go makes them from bpf/. It has no logic.
//
// The objects are committed, so that building needs no clang; "make generate"
// makes them anew and "make check-generated" proves that they match bpf/.
package probe

//go:generate go tool bpf2go -go-package probe -target amd64,arm64 -type event_header -type task_info -type mm_info -type decision_info -type memory_info -type span -type victim_event -type exit_event -type shared_mm_event -type cgroup_event -type memcg_info -type zone_info -type candidate_info -type user_frame -type event_type -type hook_bit -type task_flag -type memcg_flag -type memcg_stat -type vm_stat -type counter -type decision_valid -type reap_result -type ledger_entry -type sigkill_event -type parent_info -type sigkill_info -type sender_flag Oomtrace ../../bpf/oomtrace.bpf.c -- -I../../headers -I../../bpf -Wall -Wextra -Werror -mcpu=v2
//go:generate go tool bpf2go -go-package probe -target amd64,arm64 Percpu ../../bpf/percpu.bpf.c -- -I../../headers -Wall -Wextra -Werror -mcpu=v2
//go:generate go tool bpf2go -go-package probe -target amd64,arm64 -type growth_flag History ../../bpf/history.bpf.c -- -I../../headers -I../../bpf -Wall -Wextra -Werror -mcpu=v2

// Objects are the compiled programs as they lie in the binary. Nobody may write to
// them.
func Objects() [][]byte { return [][]byte{_OomtraceBytes, _HistoryBytes} }
