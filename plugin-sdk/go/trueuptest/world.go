//go:build !wasip1

package trueuptest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"trueup.dev/trueup/contract"
)

// phase is what the provider may do.
type phase uint8

const (
	pure phase = iota
	observe
	applying
)

// world is what stands behind the imports. Directories and DNS servers are not granted to anybody in it.
type world struct {
	phase       phase
	handler     http.Handler
	lose        func(method, url string) bool
	credentials map[string]string
	secrets     map[string]string
	blobs       map[string][]byte
	cache       map[string][]byte
	calls       []string
	lines       []string
}

func newWorld() *world {
	return &world{
		credentials: map[string]string{}, secrets: map[string]string{}, blobs: map[string][]byte{}, cache: map[string][]byte{},
	}
}

func (w *world) blob(content []byte) string {
	digest := sha256.Sum256(content)
	name := hex.EncodeToString(digest[:])
	w.blobs[name] = content
	return name
}

func (w *world) LogWrite(level contract.Level, message string, fields []contract.Pair) {
	line := []string{"trace", "debug", "info", "warn", "error"}[level] + " " + message
	for _, it := range fields {
		line += " " + it.Name + "=" + it.Value
	}
	w.lines = append(w.lines, line)
}

func denied(text string) contract.Answer {
	return contract.Answer{Case: 1, Err: contract.HTTPError{Case: contract.HTTPDenied, Denied: text}}
}

func (w *world) HTTPSend(request *contract.Request) contract.Answer {
	w.calls = append(w.calls, request.Method+" "+request.URL)
	reads := request.Method == "GET" || request.Method == "HEAD" || request.Method == "OPTIONS"
	switch {
	case w.phase == pure:
		return denied("no request within a pure call")
	case w.phase == observe && !reads:
		return denied(request.Method + " writes; only within apply")
	case w.handler == nil:
		text := "the test handles nothing"
		return contract.Answer{Case: 1, Err: contract.HTTPError{Case: contract.HTTPUnreachable, Unreachable: text}}
	}
	var body []byte
	if request.Body != nil {
		body = *request.Body
	}
	arrived := httptest.NewRequest(request.Method, request.URL, bytes.NewReader(body))
	for _, it := range request.Headers {
		arrived.Header.Add(it.Name, it.Value)
	}
	if request.Credential != nil {
		authorization, granted := w.credentials[*request.Credential]
		if !granted {
			return denied(fmt.Sprintf("the test grants no credential `%s`", *request.Credential))
		}
		arrived.Header.Set("Authorization", authorization)
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, arrived)
	if w.lose != nil && w.lose(request.Method, request.URL) {
		text := "the connection was reset"
		return contract.Answer{Case: 1, Err: contract.HTTPError{Case: contract.HTTPInterrupted, Interrupted: text}}
	}
	response := contract.Response{Status: uint16(recorder.Code), Body: recorder.Body.Bytes()}
	for name, values := range recorder.Result().Header {
		for _, value := range values {
			response.Headers = append(response.Headers, contract.Pair{Name: strings.ToLower(name), Value: value})
		}
	}
	return contract.Answer{Ok: response}
}

func (w *world) CacheGet(key string) *[]byte {
	if kept, ok := w.cache[key]; ok && w.phase != pure {
		return &kept
	}
	return nil
}

func (w *world) CachePut(key string, value []byte, _ uint64) {
	if w.phase != pure {
		w.cache[key] = bytes.Clone(value)
	}
}

func (w *world) SecretsReveal(handle string) contract.Result[string, contract.SecretError] {
	value, granted := w.secrets[handle]
	switch {
	case w.phase != applying:
		return contract.Result[string, contract.SecretError]{Case: 1, Err: contract.SecretError{Case: contract.SecretDenied}}
	case !granted:
		return contract.Result[string, contract.SecretError]{Case: 1, Err: contract.SecretError{Case: contract.SecretMissing}}
	}
	return contract.Result[string, contract.SecretError]{Ok: value}
}

// SigningSign makes no signature, but a value that depends on all that one would depend on.
func (w *world) SigningSign(credential, algorithm string, data []byte) contract.Result[[]byte, contract.SigningError] {
	if w.phase != applying {
		return contract.Result[[]byte, contract.SigningError]{Case: 1, Err: contract.SigningError{Case: contract.SigningDenied}}
	}
	digest := sha256.Sum256([]byte(credential + "\x00" + algorithm + "\x00" + string(data)))
	return contract.Result[[]byte, contract.SigningError]{Ok: digest[:]}
}

func (w *world) DNSExchangeAll(queries []contract.DNSQuery, _ uint32) []contract.Result[[][]byte, contract.DNSError] {
	out := make([]contract.Result[[][]byte, contract.DNSError], len(queries))
	for i := range out {
		out[i].Case, out[i].Err = 1, contract.DNSError{Case: contract.DNSDenied, Denied: "the test grants no DNS server"}
	}
	return out
}

func (w *world) BlobsRead(digest string, offset, length uint64) *[]byte {
	content, known := w.blobs[digest]
	if !known {
		return nil
	}
	begin := min(offset, uint64(len(content)))
	part := content[begin:min(begin+length, uint64(len(content)))]
	return &part
}

func ungranted[T any](count int) []contract.Result[T, contract.FileError] {
	out := make([]contract.Result[T, contract.FileError], count)
	for i := range out {
		out[i].Case, out[i].Err = 1, contract.FileError{Case: contract.FileDenied, Denied: "the test grants no directory"}
	}
	return out
}

func (w *world) FilesListAll(directories []string) []contract.Result[contract.Listing, contract.FileError] {
	return ungranted[contract.Listing](len(directories))
}

func (w *world) FilesStatAll(paths []string) []contract.Result[contract.Entry, contract.FileError] {
	return ungranted[contract.Entry](len(paths))
}

func (w *world) FilesReadAll(requests []contract.ReadRequest) []contract.Result[contract.Content, contract.FileError] {
	return ungranted[contract.Content](len(requests))
}

func (w *world) FilesChangeAll(changes []contract.FileChange) []contract.Result[*contract.Entry, contract.FileError] {
	return ungranted[*contract.Entry](len(changes))
}
