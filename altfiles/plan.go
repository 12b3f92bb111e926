package altfiles

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"pwb/roster"
)

// Config says where a Renderer reads and writes.
type Config struct {
	// Dir is the directory of passwd, group and shadow. It must exist, belong
	// to root or the user we are, and be writable by its owner alone.
	Dir string
	// Layout says how they are called; the default is LayoutExtrausers.
	Layout Layout
	// Root is the directory that all paths here lie in when the files are for an
	// image or a container: no symbolic link may lead out of it. The paths have it
	// in front already.
	Root string
	// StateDir is where the manifest of what is ours lies, under the same
	// conditions. Commit makes it when it is missing.
	StateDir string
	// Index says that lookup indexes are written to StateDir, which others may then
	// pass through; see OpenIndex. Without it those that are there are removed.
	Index bool
	// KeepGenerations is how many renderings stay besides the one in place, so that
	// PlanGeneration can put them back; 0 is none. Besides these the last of a day
	// stays, for three days.
	KeepGenerations int
	// PasswdFile and GroupFile are the node's own, /etc/passwd and /etc/group
	// by default. They must not lie in Dir.
	PasswdFile, GroupFile string
	// ShadowGroup may read shadow: where GroupFile has it and we are root, the
	// file is root:ShadowGroup 0640, else 0600. The default is "shadow".
	ShadowGroup string
	// Policy is what the node refuses or overrides.
	Policy Policy
}

// Renderer renders rosters for one directory.
type Renderer struct {
	cfg   Config
	rules *rules
	step  hook
	// beside does two parts of a commit at once, or in a test in turn.
	beside func(first, second func() error) error
	// image is what a system is known by whose usr is an image, see Preflight.
	image []string
	usr   string
	// today is the day it is, in days since 1970-01-01.
	today func() int64
	now   func() time.Time
}

// New makes a Renderer. It fails when the configuration is incomplete or the
// policy makes no sense; it does not look at the disk.
func New(cfg Config) (*Renderer, error) {
	if cfg.Dir == "" || cfg.StateDir == "" {
		return nil, errors.New("altfiles: the directory of the files and that of the state must both be given")
	}
	if cfg.KeepGenerations < 0 {
		return nil, fmt.Errorf("altfiles: %d generations cannot be kept: give 0 or more", cfg.KeepGenerations)
	}
	if cfg.PasswdFile == "" {
		cfg.PasswdFile = "/etc/passwd"
	}
	if cfg.GroupFile == "" {
		cfg.GroupFile = "/etc/group"
	}
	if cfg.ShadowGroup == "" {
		cfg.ShadowGroup = "shadow"
	}
	for _, path := range []*string{&cfg.Dir, &cfg.StateDir, &cfg.PasswdFile, &cfg.GroupFile} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return nil, fmt.Errorf("altfiles: %w", err)
		}
		*path = abs
	}
	if cfg.Layout == "" {
		cfg.Layout = LayoutExtrausers
	}
	if err := cfg.Layout.check(); err != nil {
		return nil, err
	}
	rules, err := cfg.Policy.rules()
	if err != nil {
		return nil, fmt.Errorf("altfiles: %w", err)
	}
	rules.leastMerged = cfg.Layout.leastGID()
	today := func() int64 { return time.Now().Unix() / (24 * 60 * 60) }
	return &Renderer{cfg: cfg, rules: rules, step: runStep, beside: both, image: ostreeMarks, usr: "/usr", today: today, now: time.Now}, nil
}

// Plan is a rendering, and how it differs from what is on disk.
type Plan struct {
	r *Renderer
	// dir is the directory that was looked at.
	dir     inode
	path    string
	files   []plannedFile // in the order in which they are written
	now     *verified
	effect  roster.Effect
	skipped int
	left    LeftOut
	// warnings are about the policy.
	warnings []string
	// unswept says that a killed commit left files beside these.
	unswept bool
	// indexes are for lookups. shut says that nobody else could reach them, untidy
	// that a killed commit left files beside them.
	indexes      []*plannedIndex
	shut, untidy bool
	// restores is the generation that is put back, nil for a rendering.
	restores *generation
	notKept  error
}

// plannedFile is one of the three, or an index of one, as it is and as it shall be.
type plannedFile struct {
	kind  string // which of the three, whatever its name; or
	index string // which of the three it is an index of, by
	key   func(line []byte) []byte
	name  string
	data  []byte
	owner owner
	// gone says that the file shall not exist: a shadow of ours where the
	// policy wants none any more.
	gone bool
	// was is the file as it was found, right whether it needs no writing.
	was   stamp
	right bool
	had   record   // what the manifest says of it
	sum   *content // of data, once it was asked for
}

// content is that of data.
func (f *plannedFile) content() *content {
	if f.sum == nil {
		f.sum = contentOf(f.data)
	}
	return f.sum
}

// The files' names, in the order of writing. Until all are in place every
// moment fails closed: a new account has its hash and groups before it exists,
// a locked one is locked first.
const (
	shadowName = "shadow"
	groupName  = "group"
	passwdName = "passwd"
)

// Plan renders rows, which come in ascending order of their keys and are read
// once, and works out what would change. It touches nothing.
//
// Rows that the policy refuses are left out and told by Effect. It fails, with
// the files untouched, when rows yields an error or is out of order, when
// Config.PasswdFile or GroupFile cannot be read, when something that is not
// ours is in the way (*ForeignError), and when the rendered files do not pass
// their own check, which would be a defect of this package.
func (r *Renderer) Plan(rows iter.Seq2[roster.Row, error]) (_ *Plan, err error) {
	d, err := r.openTarget()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.closeAll()) }()
	m, err := d.manifest()
	if err != nil {
		return nil, err
	}
	p := &Plan{r: r, dir: d.id, path: d.path}
	if err := p.lookForLeftovers(d); err != nil {
		return nil, err
	}
	for _, f := range r.cfg.Layout.files() {
		f.gone = !r.rules.shadow && (f.kind == shadowName || f.index == shadowName)
		if ours, err := f.look(d, m); err != nil {
			return nil, err
		} else if !ours {
			continue
		}
		p.files = append(p.files, f)
	}
	local, err := readLocal(r.cfg.PasswdFile, r.cfg.GroupFile)
	if err != nil {
		return nil, err
	}
	o, err := render(r.rules, local, rows, sizes{p.guess(passwdName), p.guess(groupName), p.guess(shadowName)})
	if err != nil {
		return nil, err
	}
	p.now, err = r.rules.verify(o, local)
	if err != nil {
		return nil, fmt.Errorf("the rendered files do not pass their check, which is a defect of pwb; nothing was written: %w", err)
	}
	p.skipped, p.left, p.warnings = o.skipped, o.left, o.warnings
	if err := p.addKeysFile(d, m, o.keys, len(o.keys) > 0); err != nil {
		return nil, err
	}
	data := map[string][]byte{passwdName: o.passwd, groupName: o.group, shadowName: o.shadow, KeysFile: o.keys}
	for i := range p.files {
		f := &p.files[i]
		f.data = data[f.kind]
		f.owner = r.owner(f.kind+f.index, local)
		if f.index != "" && !f.gone {
			f.data = makeIndex(map[string]*lines{passwdName: p.now.passwd, groupName: p.now.group, shadowName: p.now.shadow}[f.index], f.key)
		}
		if f.right, err = f.check(d, f.was); err != nil {
			return nil, err
		}
		if f.index != "" && !f.gone {
			f.right = f.right && p.fresh(f)
		}
	}
	if err := p.planIndexes(m, local); err != nil {
		return nil, err
	}
	if err := p.weighAndLayOut(d); err != nil {
		return nil, err
	}
	p.effect.Quarantined, p.effect.LeftOut = o.quarantined, o.left.Total()
	return p, nil
}

// addKeysFile adds the file of SSH keys, ahead of all others. It is none of ours if
// it shall not exist and was never written.
func (p *Plan) addKeysFile(d *dir, m *manifest, data []byte, is bool) error {
	f := plannedFile{kind: KeysFile, name: KeysFile, data: data, gone: !is}
	ours, err := f.look(d, m)
	if err == nil && ours {
		p.files = slices.Insert(p.files, 0, f)
	}
	return err
}

// openTarget opens the directory of the files, where we may write. Plans begin so.
func (r *Renderer) openTarget() (*dir, error) {
	if err := r.Preflight(); err != nil {
		return nil, err
	}
	d, err := r.openBoth()
	if err != nil {
		return nil, err
	}
	if err := r.checkApart(d); err != nil {
		return nil, errors.Join(err, d.closeAll())
	}
	return d, nil
}

// look takes the file as it is, and what the manifest says of it. It reports false
// for one that shall not exist and was never ours: whosever that is, it is no
// business of ours.
func (f *plannedFile) look(d *dir, m *manifest) (ours bool, err error) {
	f.had = m.record(d, f.name)
	if f.gone && f.had == (record{}) {
		return false, nil
	}
	if f.was, err = d.find(f.name); err != nil {
		return false, err
	}
	return true, m.checkOurs(d, f.name, f.was)
}

// guess is how large a file will be about, if it is about what it was.
func (p *Plan) guess(name string) int {
	f := p.file(name)
	if f == nil || f.gone {
		return 0
	}
	return int(f.was.size + f.was.size/64 + 4096)
}

// check reports whether the file, found as st, is as it shall be.
func (f *plannedFile) check(d *dir, st stamp) (bool, error) {
	if f.gone {
		return !st.exists, nil
	}
	if !f.owner.holds(st) {
		return false, nil
	}
	if !st.exists {
		return false, nil
	}
	return d.of(f.name).holds(f.name, st, f.data)
}

// checkApart refuses to write where the node's own files lie.
func (r *Renderer) checkApart(d *dir) error {
	own, err := d.Stat(".")
	if err != nil {
		return fmt.Errorf("directory %s: %w", d.path, err)
	}
	for _, file := range []string{r.cfg.PasswdFile, r.cfg.GroupFile} {
		other, err := os.Stat(filepath.Dir(file))
		if r.cfg.Layout == LayoutNsscache && !slices.Contains(r.cfg.Layout.names(), filepath.Base(file)) {
			continue // libnss-cache looks beside them
		}
		if err == nil && os.SameFile(own, other) {
			return &ForeignError{d.path, "is where the node's own " + file + " lies", "choose another directory (--dir)"}
		}
	}
	return nil
}

// manifest reads the manifest as it now is.
func (d *dir) manifest() (*manifest, error) {
	if d.state == nil {
		return &manifest{}, nil
	}
	return readManifest(d.state)
}

// owner is whom a file shall belong to. Only root can give files away.
func (r *Renderer) owner(name string, local *local) owner {
	o := owner{os.Geteuid(), -1, 0o644}
	if o.uid == 0 {
		o.gid = 0
	}
	if name == shadowName {
		o.perm = 0o600
		if gid, ok := local.groups[r.cfg.ShadowGroup]; ok && o.uid == 0 {
			o.gid, o.perm = int(gid), 0o640
		}
	}
	return o
}

// file is one of the three, or that of keys.
func (p *Plan) file(kind string) *plannedFile {
	for i := range p.files {
		if p.files[i].kind == kind {
			return &p.files[i]
		}
	}
	return nil
}

// Effect is what the plan would do to the accounts and groups on disk.
func (p *Plan) Effect() roster.Effect { return p.effect }

// Skipped counts the memberships that are not rendered since their account or
// their group is not.
func (p *Plan) Skipped() int { return p.skipped }

// LeftOut counts what the policy leaves out by choice. As far as it is on disk
// now, Effect counts it as removed.
func (p *Plan) LeftOut() LeftOut { return p.left }

// Warnings are sentences about parts of the policy that have no effect with this
// roster on this node, and so may be mistaken.
func (p *Plan) Warnings() []string { return p.warnings }

// Changed reports whether any file's bytes, mode or owner differ from what was
// on disk. It can be true where Effect tells no difference, of the order of
// lines for example.
func (p *Plan) Changed() bool {
	return p.filesChanged() || p.unswept || p.untidy || p.shut || slices.ContainsFunc(p.indexes, func(x *plannedIndex) bool { return !x.right })
}

// filesChanged is Changed for what Config.Dir has, and the keys.
func (p *Plan) filesChanged() bool {
	return slices.ContainsFunc(p.files, func(f plannedFile) bool { return !f.right })
}

// lookForLeftovers finds out whether a killed commit left anything: the next puts
// it away, though it have nothing else to do. Hashes may be in it.
func (p *Plan) lookForLeftovers(d *dir) error {
	left, err := d.leftovers(p.r.cfg.Layout.names()...)
	p.unswept = len(left) > 0
	return err
}
