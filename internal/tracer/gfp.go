package tracer

// The gfp bits (include/linux/gfp_types.h). Their numbers are the same from
// 5.10 to 7.3, where BTF has them as enumerators ___GFP_*_BIT; bit 9 was
// __GFP_ATOMIC until 6.2 and is free since.
const (
	gfpDMA = 1 << iota
	gfpHighmem
	gfpDMA32
	gfpMovable
	gfpReclaimable
	gfpHigh
	gfpIO
	gfpFS
	gfpZero
	gfpAtomicOld
	gfpDirectReclaim
	gfpKswapdReclaim
	gfpWrite
	gfpNowarn
	gfpRetryMayfail
	gfpNofail
	gfpNoretry
	gfpMemalloc
	gfpComp
	gfpNomemalloc
	gfpHardwall
	gfpThisnode
	gfpAccount
)

const (
	gfpReclaim        = gfpDirectReclaim | gfpKswapdReclaim
	gfpKernel         = gfpReclaim | gfpIO | gfpFS
	gfpUser           = gfpKernel | gfpHardwall
	gfpHighuser       = gfpUser | gfpHighmem
	gfpHighuserMov    = gfpHighuser | gfpMovable
	gfpTranshugeLight = (gfpHighuserMov | gfpComp | gfpNomemalloc | gfpNowarn) &^ gfpReclaim
)

type gfpName struct {
	mask uint32
	name string
}

// gfpNames is in the order in which the kernel takes names off a mask
// (include/trace/events/mmflags.h): the ones with most bits first.
func gfpNames() [34]gfpName {
	return [...]gfpName{
		{gfpTranshugeLight | gfpDirectReclaim, "GFP_TRANSHUGE"},
		{gfpTranshugeLight, "GFP_TRANSHUGE_LIGHT"},
		{gfpHighuserMov, "GFP_HIGHUSER_MOVABLE"},
		{gfpHighuser, "GFP_HIGHUSER"},
		{gfpUser, "GFP_USER"},
		{gfpKernel | gfpAccount, "GFP_KERNEL_ACCOUNT"},
		{gfpKernel, "GFP_KERNEL"},
		{gfpReclaim | gfpIO, "GFP_NOFS"},
		{gfpReclaim, "GFP_NOIO"},
		{gfpDMA, "GFP_DMA"},
		{gfpHighmem, "__GFP_HIGHMEM"},
		{gfpDMA32, "GFP_DMA32"},
		{gfpHigh, "__GFP_HIGH"},
		{gfpAtomicOld, "__GFP_ATOMIC"},
		{gfpIO, "__GFP_IO"},
		{gfpFS, "__GFP_FS"},
		{gfpNowarn, "__GFP_NOWARN"},
		{gfpRetryMayfail, "__GFP_RETRY_MAYFAIL"},
		{gfpNofail, "__GFP_NOFAIL"},
		{gfpNoretry, "__GFP_NORETRY"},
		{gfpComp, "__GFP_COMP"},
		{gfpZero, "__GFP_ZERO"},
		{gfpNomemalloc, "__GFP_NOMEMALLOC"},
		{gfpMemalloc, "__GFP_MEMALLOC"},
		{gfpHardwall, "__GFP_HARDWALL"},
		{gfpThisnode, "__GFP_THISNODE"},
		{gfpReclaimable, "__GFP_RECLAIMABLE"},
		{gfpMovable, "__GFP_MOVABLE"},
		{gfpAccount, "__GFP_ACCOUNT"},
		{gfpWrite, "__GFP_WRITE"},
		{gfpReclaim, "__GFP_RECLAIM"},
		{gfpDirectReclaim, "__GFP_DIRECT_RECLAIM"},
		{gfpKswapdReclaim, "__GFP_KSWAPD_RECLAIM"},
		{1 << 23, "__GFP_ZEROTAGS"},
	}
}

// gfpFlags names a mask as the kernel's own report does. Bits above those
// above stay unnamed: they differ from kernel to kernel.
func gfpFlags(mask uint32) (names []string) {
	for _, n := range gfpNames() {
		if mask&n.mask == n.mask {
			names = append(names, n.name)
			mask &^= n.mask
		}
	}
	return names
}
