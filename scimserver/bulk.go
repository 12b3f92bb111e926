package scimserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"pwb/scimserver/scim"
)

// maxBulkOperations is the most operations of a bulk request.
const maxBulkOperations = 1000

// bulkOp is one operation of a bulk request (RFC 7644 §3.7) on its way.
type bulkOp struct {
	method, path, bulkID, version string
	data                          map[string]any

	h     *handlers
	id    string // of the resource, also of one that is still to be made
	begun bool
	done  scim.Resource // the operation's part of the answer
}

// bulk answers POST /Bulk. Operations are done in their order, each by itself;
// one that refers to a resource that a later one creates waits for that one.
// Every new resource has its id before the first operation, so that references
// may also form circles.
func (c *call) bulk() error {
	in, err := c.body()
	if err != nil {
		return err
	}
	ops, failOnErrors, err := readBulk(in)
	if err != nil {
		return err
	}
	if err := c.spend(max(1, len(ops))); err != nil {
		return err
	}
	if err := c.admitBulk(ops); err != nil {
		return err
	}
	b := &bulkRun{call: c, ops: ops, byID: map[string]*bulkOp{}, failOnErrors: failOnErrors}
	for _, op := range ops {
		if op.method != http.MethodPost { // it refers to what is there
			_, op.id, _ = strings.Cut(strings.Trim(op.path, "/"), "/")
		}
		if op.bulkID == "" {
			continue
		}
		if b.byID[op.bulkID] != nil {
			return scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "bulkId %.100q is used twice", op.bulkID)
		}
		if op.method == http.MethodPost {
			if op.id, err = newID(); err != nil {
				return err
			}
		}
		b.byID[op.bulkID] = op
	}
	for _, op := range ops {
		if err := b.run(op); err != nil {
			return err
		}
	}
	results := []any{}
	for _, op := range ops {
		if op.done != nil {
			results = append(results, op.done)
		}
	}
	return c.answer(http.StatusOK, scim.Resource{"schemas": []any{scim.BulkResponseURN}, "Operations": results})
}

// bulkRun is a bulk request while it is worked off.
type bulkRun struct {
	*call
	ops          []*bulkOp
	byID         map[string]*bulkOp
	failOnErrors int
	errors       int
}

// run does an operation, after those that it refers to. Its failure is part of
// the answer, and one that is not the client's to mend ends the request after it:
// what was done before stays done, and is told. The error is for a client that
// has gone.
func (b *bulkRun) run(op *bulkOp) error {
	if op.begun || b.over() {
		return nil // done, or waiting for an operation that refers back to it
	}
	b.allow(b.w, 0) // each has the time that it would have alone
	op.begun = true
	for _, ref := range references(op.path, op.data) {
		if other := b.byID[ref]; other != nil && !other.begun {
			if err := b.run(other); err != nil {
				return err
			}
		}
	}
	if b.over() {
		return nil
	}
	out, err := b.apply(op)
	var e *scim.Error
	switch {
	case errors.As(err, &e):
	case err != nil && b.r.Context().Err() != nil:
		return err
	case err != nil:
		b.failOnErrors = 1
		e = b.told(err)
	}
	if e != nil {
		b.errors++
		op.done["status"] = strconv.Itoa(e.Status)
		op.done["response"] = json.RawMessage(e.Body())
		return nil
	}
	op.done["status"] = strconv.Itoa(out.status)
	if out.resource.ID != "" {
		op.id = out.resource.ID // of somebody who came back it is the former one
		op.done["location"] = b.location(op.h.typ, out.resource.ID)
		op.done["version"] = etag(out.resource)
	}
	return nil
}

// over reports whether there were as many errors as the client allows.
func (b *bulkRun) over() bool { return b.failOnErrors > 0 && b.errors >= b.failOnErrors }

func (b *bulkRun) apply(op *bulkOp) (outcome, error) {
	op.done = scim.Resource{"method": op.method}
	if op.bulkID != "" {
		op.done["bulkId"] = op.bulkID
	}
	path, err := b.resolveText(op.path)
	if err != nil {
		return outcome{}, err
	}
	collection, id, _ := strings.Cut(strings.Trim(path, "/"), "/")
	op.h = collections[strings.ToLower(collection)]
	if op.h == nil {
		return outcome{}, scim.Errorf(http.StatusBadRequest, scim.InvalidPath, "path %.100q is not one of /Users, /Groups or a resource below them", op.path)
	}
	data, err := b.resolve(op.data)
	if err != nil {
		return outcome{}, err
	}
	body, _ := data.(map[string]any)
	o := &operation{Server: b.Server, ctx: b.r.Context(), h: op.h, actor: "token " + b.token.Name, id: id, ifMatch: op.version, provider: true, admitted: true}
	if id != "" {
		op.done["location"] = b.location(op.h.typ, id)
	}
	switch {
	case op.method == http.MethodPost && id == "":
		if op.bulkID == "" {
			return outcome{}, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "a POST in a bulk request needs a bulkId")
		}
		o.newID = op.id
		return op.h.create(o, body)
	case op.method == http.MethodPut && id != "":
		return op.h.replace(o, body)
	case op.method == http.MethodPatch && id != "":
		return op.h.patch(o, body)
	case op.method == http.MethodDelete && id != "":
		return op.h.remove(o)
	}
	return outcome{}, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%.20q is not a method for path %.100q", op.method, op.path)
}

const bulkRef = "bulkId:"

// references are the bulkIds that an operation speaks of.
func references(values ...any) (refs []string) {
	for _, v := range values {
		switch v := v.(type) {
		case string:
			if i := strings.Index(v, bulkRef); i >= 0 {
				refs = append(refs, v[i+len(bulkRef):])
			}
		case []any:
			refs = append(refs, references(v...)...)
		case map[string]any:
			for _, e := range v {
				refs = append(refs, references(e)...)
			}
		}
	}
	return refs
}

// resolve puts ids in the place of references.
func (b *bulkRun) resolve(v any) (any, error) {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, bulkRef) {
			return b.resolveText(v)
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var err error
			if out[i], err = b.resolve(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			var err error
			if out[k], err = b.resolve(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

// resolveText resolves a reference at the end of a text. One to an operation
// that failed is an error, so that nothing refers to what is not there.
func (b *bulkRun) resolveText(s string) (string, error) {
	before, ref, ok := strings.Cut(s, bulkRef)
	if !ok {
		return s, nil
	}
	op := b.byID[ref]
	if op == nil {
		return "", scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "no operation has the bulkId %.100q", ref)
	}
	if _, failed := op.done["response"]; failed {
		return "", scim.Errorf(http.StatusConflict, "", "the operation with the bulkId %.100q failed", ref)
	}
	return before + op.id, nil
}

// readBulk reads a BulkRequest's form.
func readBulk(in map[string]any) (ops []*bulkOp, failOnErrors int, err error) {
	bad := func(format string, args ...any) ([]*bulkOp, int, error) {
		return nil, 0, scim.Errorf(http.StatusBadRequest, scim.InvalidSyntax, format, args...)
	}
	var list []any
	for key, value := range in {
		switch strings.ToLower(key) {
		case "operations":
			var ok bool
			if list, ok = value.([]any); !ok {
				return bad("Operations is not a list")
			}
		case "failonerrors":
			n, ok := value.(int64)
			if !ok || n < 0 || n > maxBulkOperations {
				return bad("failOnErrors is not a number from 0 to %d", maxBulkOperations)
			}
			failOnErrors = int(n)
		}
	}
	if list == nil {
		return bad("the request has no Operations")
	}
	if len(list) > maxBulkOperations {
		return nil, 0, scim.Errorf(http.StatusRequestEntityTooLarge, "", "a bulk request has at most %d operations, this one %d", maxBulkOperations, len(list))
	}
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return bad("an element of Operations is not an object")
		}
		op := &bulkOp{}
		for key, value := range m {
			var into *string
			switch strings.ToLower(key) {
			case "method":
				into = &op.method
			case "path":
				into = &op.path
			case "bulkid":
				into = &op.bulkID
			case "version":
				into = &op.version
			case "data":
				if op.data, ok = value.(map[string]any); !ok && value != nil {
					return bad("data of an operation is not an object")
				}
				continue
			default:
				continue
			}
			if *into, ok = value.(string); !ok && value != nil {
				return bad("%s of an operation is not a string", key)
			}
		}
		op.method = strings.ToUpper(op.method)
		ops = append(ops, op)
	}
	return ops, failOnErrors, nil
}
