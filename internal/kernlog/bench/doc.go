// Package bench compares kernlog with cAdvisor's utils/oomparser on the same
// log in one run:
//
//	go test -bench . -benchtime 1x
//
// It is a module of its own so that oomtrace does not depend on cAdvisor. The
// log is made of ordinary lines with reports of real kernels in between; its
// size is that of the environment variable KERNLOG_BENCH_MIB, 1024 by default.
package bench
