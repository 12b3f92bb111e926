package altfiles

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The manifest says which files are ours. Without it a first render could not
// tell a passwd file that it left there from one that an operating system or an
// administrator did.
const (
	manifestName    = "manifest.json"
	lockName        = "manifest.lock"
	manifestVersion = 1
)

// manifest is the content of StateDir/manifest.json, mode 0600.
type manifest struct {
	Version int `json:"version"`
	// Dirs has the files by the absolute path of their directory, symbolic
	// links resolved, and their name in it.
	Dirs map[string]map[string]record `json:"dirs"`
	// Indexes has the lookup indexes, which lie beside the manifest.
	Indexes map[string]indexRecord `json:"indexes,omitempty"`
	// Memory is of the generations.
	Memory memory `json:"generations,omitzero"`
}

// record is what is known of one file. It is ours if Written is set, whatever
// it holds now; or if it holds just what Intended says. So a commit that fails
// before its first rename lays no claim to what others put there afterwards,
// and one that is killed behind a rename knows its file again.
type record struct {
	Written  *content `json:"written,omitempty"`
	Intended *content `json:"intended,omitempty"`
	// Placed is the mark of the file as it was left in its place, empty when that
	// is unknown; see Altered.
	Placed string `json:"placed,omitempty"`
}

// content is a file's size in bytes and SHA-256 in hexadecimal digits.
type content struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func contentOf(data []byte) *content {
	sum := sha256.Sum256(data)
	return &content{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

// openState opens the state directory, and makes it when create is set.
// Without create the error is fs.ErrNotExist if it is not there.
func openState(path string, create bool) (*dir, error) {
	if create {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("state directory: %w", err)
		}
	}
	d, err := openDir(path)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return d, nil
}

// readManifest reads the manifest; none is an empty one. It fails when it is
// not readable, or when others could have written it.
func readManifest(state *dir) (*manifest, error) {
	m := &manifest{Version: manifestVersion, Dirs: map[string]map[string]record{}}
	st, err := state.inspectState(manifestName)
	if err != nil || !st.exists {
		return m, err
	}
	path := filepath.Join(state.path, manifestName)
	if st.uid != 0 && int(st.uid) != os.Geteuid() || st.mode.Perm()&0o022 != 0 {
		return nil, &ForeignError{path, fmt.Sprintf("belongs to uid %d with mode %#o, others may write to it", st.uid, st.mode.Perm()), "find out who did that; then chown root, chmod 0600"}
	}
	f, err := state.open(manifestName, st)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := json.NewDecoder(f).Decode(m); err != nil {
		return nil, fmt.Errorf("%s is no manifest: %w: restore it, or remove it together with the files it is about", path, err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%s has version %d, only %d is known here: run the pwb that wrote it", path, m.Version, manifestVersion)
	}
	if m.Dirs == nil {
		m.Dirs = map[string]map[string]record{}
	}
	return m, nil
}

// write replaces the manifest durably.
func (m *manifest) write(state *dir, step hook) error {
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	dr, err := state.draft(manifestName, append(data, '\n'), owner{-1, -1, 0o600}, step)
	if err != nil {
		return err
	}
	return errors.Join(dr.publish(), dr.discard())
}

// record is what is known of a file of a commit.
func (m *manifest) record(d *dir, name string) record {
	if d = d.of(name); d == nil {
		return record{}
	}
	return m.Dirs[d.path][name]
}

func (m *manifest) set(d *dir, name string, r record) {
	dir := d.of(name).path
	if m.Dirs[dir] == nil {
		m.Dirs[dir] = map[string]record{}
	}
	if r == (record{}) {
		delete(m.Dirs[dir], name)
		return
	}
	m.Dirs[dir][name] = r
}

// intend notes what a file shall hold soon.
func (m *manifest) intend(d *dir, f *plannedFile) {
	r := m.record(d, f.name)
	if r.Written == nil && f.was.size > 0 {
		// It passed checkOurs for what was intended last time: a killed commit
		// got as far as its rename. That must not be forgotten now.
		r.Written = r.Intended
	}
	r.Intended = f.content()
	m.set(d, f.name, r)
}

// checkOurs fails with a *ForeignError when a file is there that neither is
// empty nor was written by us.
func (m *manifest) checkOurs(d *dir, name string, st stamp) error {
	r := m.record(d, name)
	if !st.exists || st.size == 0 || r.Written != nil {
		return nil
	}
	if r.Intended != nil && r.Intended.Size == st.size {
		sum, err := d.of(name).digest(name, st)
		if err != nil {
			return err
		}
		if hex.EncodeToString(sum[:]) == r.Intended.SHA256 {
			return nil
		}
	}
	return &ForeignError{d.pathOf(name), "holds something that was not written by pwb", "move it away, or choose another directory (--dir, --state-dir)"}
}
