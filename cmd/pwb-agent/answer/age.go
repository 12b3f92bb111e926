package answer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"pwb/altfiles"
)

// Age is how long ago a state file was written, as its content says. It fails when the
// file is none that the NSS module believes.
func Age(path string) (time.Duration, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	if len(b) != stateSize || string(b[:8]) != stateMagic || le.Uint32(b[8:]) != stateVersion || le.Uint64(b[16:]) != altfiles.IndexSum(b[24:]) {
		return 0, fmt.Errorf("%s is no state file of this version", path)
	}
	age := bootTime() - time.Duration(le.Uint64(b[24:]))
	if age < 0 {
		return 0, errors.New("the state file is from another boot")
	}
	return age, nil
}
