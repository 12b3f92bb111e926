package roster

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Passwd is a line of passwd(5): name:password:uid:gid:gecos:home:shell.
type Passwd struct {
	Name, Password     string
	UID, GID           uint32
	Gecos, Home, Shell string
}

// GroupLine is a line of group(5): name:password:gid:member,member.
type GroupLine struct {
	Name, Password string
	GID            uint32
	Members        []string
}

// Shadow is a line of shadow(5) as far as it is used here:
// name:password:::::: expire: with the ageing fields empty, which switches
// password ageing off. Expire is in days since 1970-01-01, 0 means never.
type Shadow struct {
	Name, Password string
	Expire         int64
}

// CheckField reports why s cannot be a field of these files: it holds a colon,
// a control character (a newline would begin another line) or invalid UTF-8.
func CheckField(s string) error {
	if plainField(s) {
		return nil
	}
	for i, r := range s {
		switch {
		case r == ':':
			return fmt.Errorf("%.80q holds a colon", s)
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			return fmt.Errorf("%.80q is not UTF-8", s)
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return fmt.Errorf("%.80q holds a control character", s)
		}
	}
	return nil
}

// plainField reports whether s is printable ASCII without a colon, as most
// fields are.
func plainField(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return true
}

// MaxGecos is the most bytes CleanGecos keeps.
const MaxGecos = 256

// CleanGecos makes a display name fit for the gecos field: what CheckField
// refuses becomes a space, runs of spaces one, and MaxGecos bytes are kept.
func CleanGecos(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || CheckField(string(r)) != nil {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > MaxGecos {
		cut := MaxGecos
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = strings.TrimRight(s[:cut], " ")
	}
	return s
}

// Append appends the line and its newline to dst.
func (p Passwd) Append(dst []byte) []byte {
	dst = append(dst, p.Name...)
	dst = append(dst, ':')
	dst = append(dst, p.Password...)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, uint64(p.UID), 10)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, uint64(p.GID), 10)
	for _, f := range [...]string{p.Gecos, p.Home, p.Shell} {
		dst = append(dst, ':')
		dst = append(dst, f...)
	}
	return append(dst, '\n')
}

// Append appends the line and its newline to dst.
func (g GroupLine) Append(dst []byte) []byte {
	dst = append(dst, g.Name...)
	dst = append(dst, ':')
	dst = append(dst, g.Password...)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, uint64(g.GID), 10)
	dst = append(dst, ':')
	for i, m := range g.Members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m...)
	}
	return append(dst, '\n')
}

// Append appends the line and its newline to dst.
func (s Shadow) Append(dst []byte) []byte {
	dst = append(dst, s.Name...)
	dst = append(dst, ':')
	dst = append(dst, s.Password...)
	dst = append(dst, "::::::"...)
	if s.Expire != 0 {
		dst = strconv.AppendInt(dst, s.Expire, 10)
	}
	return append(dst, ":\n"...)
}

// splitFields fills f with the fields of a line, and reports whether there were
// just as many and the first is not empty.
func splitFields(line string, f []string) bool {
	for i := range len(f) - 1 {
		end := strings.IndexByte(line, ':')
		if end < 0 {
			return false
		}
		f[i], line = line[:end], line[end+1:]
	}
	f[len(f)-1] = line
	return f[0] != "" && strings.IndexByte(line, ':') < 0
}

// ParsePasswd reads a line of passwd(5) without its newline.
func ParsePasswd(line string) (Passwd, error) {
	var f [7]string
	if !splitFields(line, f[:]) {
		return Passwd{}, fmt.Errorf("passwd line %.80q has not seven fields with a name", line)
	}
	uid, err := parseID(f[2])
	if err != nil {
		return Passwd{}, fmt.Errorf("passwd line of %q: uid: %w", f[0], err)
	}
	gid, err := parseID(f[3])
	if err != nil {
		return Passwd{}, fmt.Errorf("passwd line of %q: gid: %w", f[0], err)
	}
	return Passwd{Name: f[0], Password: f[1], UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]}, nil
}

// ParseGroup reads a line of group(5) without its newline.
func ParseGroup(line string) (GroupLine, error) {
	var f [4]string
	if !splitFields(line, f[:]) {
		return GroupLine{}, fmt.Errorf("group line %.80q has not four fields with a name", line)
	}
	gid, err := parseID(f[2])
	if err != nil {
		return GroupLine{}, fmt.Errorf("group line of %q: gid: %w", f[0], err)
	}
	g := GroupLine{Name: f[0], Password: f[1], GID: gid}
	if f[3] != "" {
		g.Members = strings.Split(f[3], ",")
	}
	return g, nil
}

// ParseShadow reads a line of shadow(5) without its newline.
func ParseShadow(line string) (Shadow, error) {
	var f [9]string
	if !splitFields(line, f[:]) {
		// The line may hold a hash, so no part of it is shown.
		return Shadow{}, fmt.Errorf("a shadow line has not nine fields with a name")
	}
	s := Shadow{Name: f[0], Password: f[1]}
	if f[7] != "" {
		day, err := strconv.ParseInt(f[7], 10, 64)
		if err != nil {
			return Shadow{}, fmt.Errorf("shadow line of %q: expiry %q is not a day", f[0], f[7])
		}
		s.Expire = day
	}
	return s, nil
}

func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number from 0 to 4294967295", s)
	}
	return uint32(n), nil
}
