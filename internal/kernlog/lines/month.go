package lines

import (
	"bytes"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// longestMonth is how long a month's short name is at most, in bytes.
const longestMonth = 24

// month reads a month's short name, with a full stop or without one, or its number as
// East Asian locales have it: "11月".
func month(b []byte) (time.Month, bool) {
	if v, rest, ok := scan.Uint(b); ok {
		return time.Month(v), v >= 1 && v <= 12 && (len(rest) == 0 || isMonthSign(rest))
	}
	b = bytes.TrimSuffix(b, []byte("."))
	if len(b) > longestMonth {
		return 0, false
	}
	var room [2 * longestMonth]byte
	name := room[:0]
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		name, b = utf8.AppendRune(name, unicode.ToLower(r)), b[n:]
	}
	m := monthNamed(string(name))
	return m, m != 0
}

// isMonthSign says whether this is the character behind a month's number, Chinese, Japanese
// or Korean.
func isMonthSign(b []byte) bool { return string(b) == "月" || string(b) == "월" }

// monthNamed are the short names that glibc's locales give to the months (abmon), which
// journalctl and "dmesg -T" print. Left out is what two languages mean differently: "lip",
// "lis" and "srp" of Polish and Czech are other months in Croatian.
func monthNamed(name string) time.Month {
	switch name {
	case "ean", "ene", "gen", "ian", "jaan", "jan", "janv", "jän", "led", "oca", "saus", "sij", "sty", "tammi",
		"urt", "xan", "yan", "ιαν", "сту", "січ", "янв", "яну", "јан", "қаң", "հնվ", "ינו", "جانفي", "ينا", "يناير",
		"ژانویه", "जन॰", "ม.ค", "იან":
		return 1
	case "feabh", "feb", "febr", "fev", "fév", "févr", "helmi", "lut", "ots", "shk", "vas", "veebr", "velj",
		"úno", "şub", "φεβ", "ақп", "лют", "феб", "фев", "փտր", "פבר", "شباط", "فبر", "فبراير", "فوریه", "فيفري",
		"फ़र॰", "ก.พ", "თებ":
		return 2
	case "bře", "kov", "maalis", "mac", "mar", "mars", "març", "mrt", "márc", "márta", "mär", "märts", "ožu",
		"μάρ", "μαρ", "бер", "мар", "нау", "сак", "մար", "מרץ", "آذار", "مار", "مارس", "मार्च", "มี.ค", "მარ":
		return 3
	case "abr", "aib", "api", "apr", "april", "avr", "avril", "bal", "dub", "huhti", "kwi", "nis", "pri", "tra",
		"ápr", "απρ", "апр", "кві", "кра", "сәу", "ապր", "אפר", "آوریل", "أبر", "أبريل", "أفريل", "نيسان", "अप्रैल",
		"เม.ย", "აპრ":
		return 4
	case "beal", "geg", "kvě", "mag", "mai", "maig", "maj", "may", "maí", "mei", "máj", "svi", "touko", "μάι",
		"μαΐ", "май", "мам", "мая", "мај", "тра", "մայ", "מאי", "أيار", "مئی", "ماي", "مايو", "พ.ค", "მაი":
		return 5
	case "birž", "cze", "eka", "giu", "haz", "iun", "juin", "jun", "juni", "juny", "juuni", "jún", "jūn", "kesä",
		"meith", "qer", "xuñ", "čen", "ιουν", "ιούν", "июн", "мау", "чер", "чэр", "юни", "јун", "հնս", "יונ", "جوان",
		"حزيران", "يون", "يونيو", "ژوئن", "जून", "มิ.ย", "ივნ", "iyn":
		return 6
	case "heinä", "iul", "iúil", "jui", "juil", "jul", "juli", "juuli", "júl", "jūl", "kor", "liep", "lug", "tem",
		"uzt", "xul", "čec", "ιουλ", "ιούλ", "июл", "лип", "ліп", "шіл", "юли", "јул", "հլս", "יול", "تموز", "جولای",
		"جويلية", "يول", "يوليو", "يوليوز", "ژوئیه", "जुल॰", "ก.ค", "ივლ", "iyl":
		return 7
	case "abu", "ago", "agu", "aoû", "août", "aug", "avg", "avq", "ağu", "elo", "gsh", "kol", "lún", "ogos",
		"rugp", "sie", "ágú", "αυγ", "αύγ", "авг", "жні", "сер", "там", "օգս", "אוג", "آقۇست", "أغس", "أغسطس", "أوت",
		"اوت", "غشت", "अग॰", "ส.ค", "აგვ":
		return 8
	case "eyl", "ira", "mfómh", "rugs", "ruj", "sen", "sep", "sept", "set", "sht", "syys", "szept", "wrz", "zář",
		"σεπ", "вер", "сен", "сеп", "қыр", "սեպ", "ספט", "أيلول", "سبت", "سبتمبر", "سپتامبر", "شتنبر", "सित॰", "ก.ย",
		"სექ":
		return 9
	case "dfómh", "eki", "loka", "oct", "okt", "ott", "out", "paź", "spal", "tet", "urr", "říj", "οκτ", "жов",
		"кас", "окт", "қаз", "հոկ", "אוק", "أكت", "أكتوبر", "اكتبر", "اوْکتوْبر", "अक्तू॰", "ต.ค", "ოქტ":
		return 10
	case "aza", "kas", "lapkr", "marras", "nov", "noy", "nën", "nóv", "samh", "stu", "νοέ", "νοε", "лис", "ліс",
		"нов", "ное", "ноя", "қар", "նմբ", "נוב", "نوامبر", "نوف", "نوفمبر", "نونبر", "نوْوامبر", "नव॰", "พ.ย", "ნოე":
		return 11
	case "abe", "ara", "dec", "dek", "des", "dets", "dez", "dhj", "dic", "dis", "déc", "gru", "gruod", "joulu",
		"noll", "pro", "δεκ", "гру", "дек", "дец", "жел", "сне", "դեկ", "דצמ", "دجنبر", "دسامبر", "ديس", "ديسمبر",
		"दिस॰", "ธ.ค", "დეკ":
		return 12
	}
	return 0
}
