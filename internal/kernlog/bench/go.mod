module github.com/oomtrace/oomtrace/internal/kernlog/bench

go 1.26.0

require (
	github.com/euank/go-kmsg-parser v2.0.0+incompatible
	github.com/oomtrace/oomtrace v0.0.0
)

require (
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/google/cadvisor v0.60.6
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/ulikunitz/xz v0.5.17 // indirect
	golang.org/x/sys v0.49.0 // indirect
	k8s.io/klog/v2 v2.140.0 // indirect
)

replace github.com/oomtrace/oomtrace => ../../..
