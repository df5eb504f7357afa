package trueup

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"trueup.dev/trueup/contract"
)

// HTTP sends requests through the engine, which holds each against the provider's grants and adds credentials.
//
//	var note Note
//	err := trueup.HTTP.Get(url).Credential("token").Into(&note)
//
// What an answer means to the engine:
//
//	400, 422, other 4xx             Invalid
//	401, 403                        Unauthorized
//	404, 410                        NotFound
//	405, 501                        Unsupported
//	409, 412                        Conflict
//	429                             Throttled, with Retry-After
//	408, 5xx                        Transient, with Retry-After
//	unreachable                     Transient: nothing was sent
//	interrupted, timed out, too large  Transient
//
// A request that writes and was interrupted, timed out, or met a 408, 500, 502 or 504 may have taken effect: its error is
// Unsettled, and so is the change that it was made for.
var HTTP client

type client struct{}

// Get is a GET request.
func (client) Get(url string) *Request { return newRequest("GET", url) }

// Head is a HEAD request.
func (client) Head(url string) *Request { return newRequest("HEAD", url) }

// Post is a POST request.
func (client) Post(url string) *Request { return newRequest("POST", url) }

// Put is a PUT request.
func (client) Put(url string) *Request { return newRequest("PUT", url) }

// Patch is a PATCH request.
func (client) Patch(url string) *Request { return newRequest("PATCH", url) }

// Delete is a DELETE request.
func (client) Delete(url string) *Request { return newRequest("DELETE", url) }

// Request is a request of any method. The URL is absolute, or `slot:<credential>/path`.
func (client) Request(method, url string) *Request { return newRequest(method, url) }

// SendAll sends many requests at once, at most parallel at a time (0: as many as the grant allows); answers in their order.
func (client) SendAll(requests []*Request, parallel int) ([]*Response, []error) {
	responses, errs := make([]*Response, len(requests)), make([]error, len(requests))
	var good []contract.Request
	var places []int
	for at, request := range requests {
		if errs[at] = request.err; request.err == nil {
			good, places = append(good, request.inner), append(places, at)
		}
	}
	if len(good) == 0 {
		return responses, errs
	}
	answers := contract.HTTPSendAll(good, uint32(max(parallel, 0)))
	for i, at := range places {
		if i < len(answers) {
			responses[at], errs[at] = requests[at].answer(answers[i])
		} else {
			errs[at] = internal("the engine left an answer out")
		}
	}
	return responses, errs
}

// Request is a request to be. It does nothing until it is sent.
type Request struct {
	inner contract.Request
	// What went wrong while it was built; sending answers it.
	err error
}

func newRequest(method, url string) *Request {
	return &Request{inner: contract.Request{Method: method, URL: url}}
}

// Query adds a query parameter, escaped.
func (r *Request) Query(name, value string) *Request {
	sign := "?"
	if strings.Contains(r.inner.URL, "?") {
		sign = "&"
	}
	r.inner.URL += sign + Escape(name) + "=" + Escape(value)
	return r
}

// Header adds a header.
func (r *Request) Header(name, value string) *Request {
	r.inner.Headers = append(r.inner.Headers, contract.Pair{Name: strings.ToLower(name), Value: value})
	return r
}

// Credential lets the engine add what this credential slot holds.
func (r *Request) Credential(slot string) *Request {
	r.inner.Credential = &slot
	return r
}

// IdempotencyKey sends the token of a change, by which the service recognises another try.
func (r *Request) IdempotencyKey(token string) *Request { return r.Header("idempotency-key", token) }

// IfMatch: only if the object still is this version. Empty: whatever it is.
func (r *Request) IfMatch(version string) *Request { return r.condition("if-match", version) }

// IfNoneMatch: only if the object is no longer this version; see [Response.NotModified]. Empty: whatever it is.
func (r *Request) IfNoneMatch(version string) *Request { return r.condition("if-none-match", version) }

func (r *Request) condition(name, version string) *Request {
	if version == "" {
		return r
	}
	return r.Header(name, version)
}

// Timeout bounds the answer; it is never longer than the call's budget.
func (r *Request) Timeout(limit time.Duration) *Request {
	r.inner.Timeout = millis(&limit)
	return r
}

// Body is a body of any type.
func (r *Request) Body(contentType string, body []byte) *Request {
	r.inner.Body = &body
	return r.Header("content-type", contentType)
}

// JSON is a body of JSON.
func (r *Request) JSON(value any) *Request {
	body, err := json.Marshal(value)
	if err != nil {
		r.err = internal("a request could not be written as JSON")
		return r
	}
	return r.Body("application/json", body)
}

// Send sends it. An answer of any status is one; an error is that there is none.
func (r *Request) Send() (*Response, error) {
	if r.err != nil {
		return nil, r.err
	}
	return r.answer(contract.HTTPSend(&r.inner))
}

// OK sends it, and takes an answer that is no success for an error.
func (r *Request) OK() (*Response, error) {
	response, err := r.Send()
	if err != nil {
		return nil, err
	}
	return response.OK()
}

// Found sends it, and answers nil where the object is not there (404 or 410).
func (r *Request) Found() (*Response, error) {
	response, err := r.Send()
	if err != nil {
		return nil, err
	}
	return response.Found()
}

// Into sends it, and reads the JSON of a success.
func (r *Request) Into(value any) error {
	response, err := r.OK()
	if err != nil {
		return err
	}
	return response.JSON(value)
}

func (r *Request) writes() bool {
	switch r.inner.Method {
	case "GET", "HEAD", "OPTIONS":
		return false
	}
	return true
}

func (r *Request) answer(got contract.Answer) (*Response, error) {
	// The query is left out: it may hold a token of a page.
	url, _, _ := strings.Cut(r.inner.URL, "?")
	what := r.inner.Method + " " + url
	if got.Case == 0 {
		return &Response{inner: got.Ok, what: what, writes: r.writes()}, nil
	}
	failed := func(fault Fault, code, text string, sent bool) (*Response, error) {
		err := Errorf(fault, code, "%s: %s", what, text)
		err.Unsettled = sent && r.writes()
		return nil, err
	}
	switch err := got.Err; err.Case {
	case contract.HTTPDenied:
		return failed(Denied, "http.denied", err.Denied, false)
	case contract.HTTPUnreachable:
		return failed(Transient, "http.unreachable", err.Unreachable, false)
	case contract.HTTPInterrupted:
		return failed(Transient, "http.interrupted", err.Interrupted, true)
	case contract.HTTPTimedOut:
		return failed(Transient, "http.timed-out", "no answer in time", true)
	case contract.HTTPTooLarge:
		text := "the answer is above the limit of " + strconv.FormatUint(err.TooLarge, 10) + " bytes"
		return failed(Transient, "http.too-large", text, true)
	default:
		return failed(Internal, "http.malformed", err.Malformed, false)
	}
}

// Response is an answer, of any status.
type Response struct {
	inner  contract.Response
	what   string
	writes bool
}

// Status is the status code.
func (r *Response) Status() int { return int(r.inner.Status) }

// Header is the first header of this name, in any case.
func (r *Response) Header(name string) string {
	for _, it := range r.inner.Headers {
		if strings.EqualFold(it.Name, name) {
			return it.Value
		}
	}
	return ""
}

// ETag is the entity tag.
func (r *Response) ETag() string { return r.Header("etag") }

// Link is the address behind `rel="next"` (or another relation) of the Link header.
func (r *Response) Link(relation string) string {
	for link := range strings.SplitSeq(r.Header("link"), ",") {
		address, parameters, _ := strings.Cut(link, ";")
		for parameter := range strings.SplitSeq(parameters, ";") {
			if strings.TrimSpace(parameter) == `rel="`+relation+`"` {
				return strings.Trim(strings.TrimSpace(address), "<>")
			}
		}
	}
	return ""
}

// NotModified says that nothing changed (304).
func (r *Response) NotModified() bool { return r.inner.Status == 304 }

// Bytes of the body.
func (r *Response) Bytes() []byte { return r.inner.Body }

// JSON reads the body. The text of the error holds nothing of it.
func (r *Response) JSON(value any) error {
	if err := json.Unmarshal(r.inner.Body, value); err != nil {
		wrong := jsonError(err)
		wrong.Message, wrong.Unsettled = r.what+" answered "+wrong.Message, r.writes
		return wrong
	}
	return nil
}

// Found answers nil where the object is not there (404 or 410), else as OK.
func (r *Response) Found() (*Response, error) {
	if r.inner.Status == 404 || r.inner.Status == 410 {
		return nil, nil
	}
	return r.OK()
}

// OK is this answer, if it is a success.
func (r *Response) OK() (*Response, error) {
	status := r.Status()
	if status >= 200 && status < 300 {
		return r, nil
	}
	err := Errorf(faultOf(status), "http.status", "%s answered %d", r.what, status)
	err.Detail = excerpt(r.inner.Body)
	switch status {
	case 408, 500, 502, 504:
		err.Unsettled = r.writes
	}
	if err.Fault == Throttled || err.Fault == Transient {
		err.Wait = retryAfter(r.Header("retry-after"))
	}
	return nil, err
}

func faultOf(status int) Fault {
	switch {
	case status == 401 || status == 403:
		return Unauthorized
	case status == 404 || status == 410:
		return NotFound
	case status == 405 || status == 501:
		return Unsupported
	case status == 409 || status == 412:
		return Conflict
	case status == 429:
		return Throttled
	case status == 408 || status >= 500 && status < 600:
		return Transient
	case status >= 400 && status < 500:
		return Invalid
	}
	return Internal
}

func retryAfter(header string) *time.Duration {
	seconds, err := strconv.ParseUint(strings.TrimSpace(header), 10, 64)
	if err != nil {
		return nil
	}
	wait := time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second
	return &wait
}

// excerptLimit is how much of an answer stands in an error, in bytes.
const excerptLimit = 300

// excerpt is the begin of a body that is text, on one line.
func excerpt(body []byte) string {
	if !utf8.Valid(body) {
		return ""
	}
	line := strings.Map(func(char rune) rune {
		if char < ' ' || char >= 0x7f && char < 0xa0 {
			return ' '
		}
		return char
	}, strings.TrimSpace(string(body)))
	end := min(excerptLimit, len(line))
	for end > 0 && end < len(line) && !utf8.RuneStart(line[end]) {
		end--
	}
	return line[:end]
}

// Escape percent-encodes all but unreserved characters (RFC 3986): for one part of a path, or one value of a query.
func Escape(text string) string {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(text))
	for _, char := range []byte(text) {
		switch {
		case 'A' <= char && char <= 'Z', 'a' <= char && char <= 'z', '0' <= char && char <= '9', strings.IndexByte("-._~", char) >= 0:
			out = append(out, char)
		default:
			out = append(out, '%', hex[char>>4], hex[char&15])
		}
	}
	return string(out)
}
