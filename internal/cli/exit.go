package cli

// Exit codes, as documented in the manual page.
const (
	exitOK          = 0
	exitError       = 1 // something failed while running
	exitUsage       = 2 // the command line is wrong
	exitUnsupported = 3 // this kernel cannot be traced
	exitPermission  = 4 // privileges are missing
	exitSignal      = 128
)
