package answer

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"

	"pwb/roster"
)

// maxLine is the most bytes of a line that is looked at.
const maxLine = 64 << 20

// Files is a Lookup that reads the rendered files from their beginning to their
// end, for agents without a lookup index.
type Files struct{ passwd, group, shadow string }

// NewFiles is of the files in a directory, whose names end with suffix.
func NewFiles(dir, suffix string) Files {
	return Files{filepath.Join(dir, "passwd"+suffix), filepath.Join(dir, "group"+suffix), filepath.Join(dir, "shadow"+suffix)}
}

// Passwd implements Lookup.
func (f Files) Passwd(name string) (p roster.Passwd, found bool, err error) {
	found, err = scan(f.passwd, []byte(name+":"), func(line string) (bool, error) {
		p, err = roster.ParsePasswd(line)
		return true, err
	})
	return p, found, err
}

// PasswdByUID implements Lookup.
func (f Files) PasswdByUID(uid uint32) (p roster.Passwd, found bool, err error) {
	found, err = scan(f.passwd, nil, func(line string) (bool, error) {
		p, err = roster.ParsePasswd(line)
		return p.UID == uid, err
	})
	return p, found, err
}

// Group implements Lookup.
func (f Files) Group(name string) (g roster.GroupLine, found bool, err error) {
	found, err = scan(f.group, []byte(name+":"), func(line string) (bool, error) {
		g, err = roster.ParseGroup(line)
		return true, err
	})
	return g, found, err
}

// GroupByGID implements Lookup.
func (f Files) GroupByGID(gid uint32) (g roster.GroupLine, found bool, err error) {
	found, err = scan(f.group, nil, func(line string) (bool, error) {
		g, err = roster.ParseGroup(line)
		return g.GID == gid, err
	})
	return g, found, err
}

// Groups implements Lookup.
func (f Files) Groups(name string) (gids []uint32, found bool, err error) {
	p, found, err := f.Passwd(name)
	if err != nil || !found {
		return nil, false, err
	}
	_, err = scan(f.group, nil, func(line string) (bool, error) {
		g, err := roster.ParseGroup(line)
		if err == nil && g.GID != p.GID && slices.Contains(g.Members, name) && !slices.Contains(gids, g.GID) {
			gids = append(gids, g.GID)
		}
		return false, err
	})
	return gids, err == nil, err
}

// Shadow implements Lookup.
func (f Files) Shadow(name string) (s roster.Shadow, found bool, err error) {
	found, err = scan(f.shadow, []byte(name+":"), func(line string) (bool, error) {
		s, err = roster.ParseShadow(line)
		return true, err
	})
	return s, found, err
}

// scan calls is for the lines that begin with prefix until it says true, or fails.
func scan(path string, prefix []byte, is func(line string) (bool, error)) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		if !bytes.HasPrefix(lines.Bytes(), prefix) {
			continue
		}
		if yes, err := is(lines.Text()); yes || err != nil {
			return yes && err == nil, err
		}
	}
	return false, lines.Err()
}
