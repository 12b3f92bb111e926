package scimserver

import (
	"fmt"
	"os"
	"strings"

	"pwb/roster"
)

// Local is what the server's own host has in its passwd(5) and group(5) files.
// New accounts get none of these names and numbers, so that a host may be
// server and node at once and its own accounts never change owner.
type Local struct {
	numbers map[uint32]bool
	names   map[string]bool
}

// ReadLocal reads the two files. Lines that are not of their form are passed
// over, as NSS does (nsswitch.conf(5)); a file that cannot be read is an error.
func ReadLocal(passwdFile, groupFile string) (*Local, error) {
	l := &Local{numbers: map[uint32]bool{}, names: map[string]bool{}}
	err := l.read(passwdFile, func(line string) error {
		p, err := roster.ParsePasswd(line)
		if err == nil {
			l.numbers[p.UID], l.numbers[p.GID], l.names[p.Name] = true, true, true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = l.read(groupFile, func(line string) error {
		g, err := roster.ParseGroup(line)
		if err == nil {
			l.numbers[g.GID], l.names[g.Name] = true, true
		}
		return err
	})
	return l, err
}

func (l *Local) read(file string, take func(line string) error) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the host's own accounts: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		_ = take(strings.TrimSuffix(line, "\n")) // malformed: passed over
	}
	return nil
}
