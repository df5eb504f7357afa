package trueup_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"trueup.dev/trueup"
	"trueup.dev/trueup/trueuptest"
)

// answering starts a service that always answers the same, within apply.
func answering(t *testing.T, status int, headers map[string]string, body string) *trueuptest.Engine {
	t.Helper()
	engine := start(t, notes, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	engine.Apply()
	return engine
}

func failure(t *testing.T, method string) *trueup.Error {
	t.Helper()
	_, err := trueup.HTTP.Request(method, "https://a.example/x?token=canary").OK()
	var known *trueup.Error
	if !errors.As(err, &known) {
		t.Fatalf("%s: %v", method, err)
	}
	if strings.Contains(known.Message, "canary") {
		t.Errorf("%s", known.Message)
	}
	return known
}

func TestEachStatusMeansWhatTheEngineShouldDo(t *testing.T) {
	for status, fault := range map[int]trueup.Fault{
		400: trueup.Invalid, 401: trueup.Unauthorized, 403: trueup.Unauthorized, 404: trueup.NotFound, 405: trueup.Unsupported,
		409: trueup.Conflict, 410: trueup.NotFound, 412: trueup.Conflict, 418: trueup.Invalid, 422: trueup.Invalid,
		501: trueup.Unsupported, 503: trueup.Transient, 302: trueup.Internal,
	} {
		answering(t, status, nil, "")
		same(t, []any{status, failure(t, "PUT").Fault, failure(t, "PUT").Unsettled}, []any{status, fault, false})
	}
	seven := 7 * time.Second
	for _, it := range []struct {
		status int
		after  string
		fault  trueup.Fault
		wait   *time.Duration
	}{
		{429, "7", trueup.Throttled, &seven}, {429, "soon", trueup.Throttled, nil}, {503, " 7 ", trueup.Transient, &seven},
		{503, "99999999999999999999", trueup.Transient, nil},
	} {
		answering(t, it.status, map[string]string{"Retry-After": it.after}, "")
		got := failure(t, "GET")
		same(t, []any{it.after, got.Fault, got.Wait}, []any{it.after, it.fault, it.wait})
	}
}

func TestWhatMayHaveTakenEffectIsUnsettledForWritesAlone(t *testing.T) {
	for method, writes := range map[string]bool{"GET": false, "POST": true, "PURGE": true} {
		for _, status := range []int{408, 500, 502, 504} {
			answering(t, status, nil, "")
			got := failure(t, method)
			same(t, []any{got.Fault, got.Unsettled}, []any{trueup.Transient, writes})
		}
		engine := answering(t, 200, nil, "")
		engine.Interrupt(func(string, string) bool { return true })
		got := failure(t, method)
		same(t, []any{got.Fault, got.Code, got.Unsettled}, []any{trueup.Transient, "http.interrupted", writes})
		engine.Handle(nil)
		got = failure(t, method)
		same(t, []any{got.Fault, got.Code, got.Unsettled}, []any{trueup.Transient, "http.unreachable", false})
	}
	engine := answering(t, 200, nil, "")
	engine.Restart(map[string]any{})
	same(t, failure(t, "GET").Fault, trueup.Denied)
}

func TestARequestIsBuiltAsItReads(t *testing.T) {
	engine := start(t, notes, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		same(t, r.Method+" "+r.URL.String(), "PATCH https://a.example/x?a%20b=c%26d&e=%C3%BC")
		same(t, []string{r.Header.Get("Authorization"), r.Header.Get("If-Match")}, []string{"Bearer test-token", `"0"`})
		same(t, r.Header.Get("Content-Type"), "application/json")
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Link", `<https://a/2>; rel="next", <https://a/9>; rel="last"`)
		_, _ = w.Write([]byte(`{"a":"x"}`))
	}))
	engine.Apply()
	request := trueup.HTTP.Patch("https://a.example/x").Query("a b", "c&d").Query("e", "ü").Credential("token")
	response, err := request.IfMatch(`"0"`).IfNoneMatch("").JSON([]int{1}).OK()
	if err != nil {
		t.Fatal(err)
	}
	same(t, []string{response.ETag(), response.Link("next"), response.Link("prev")}, []string{`"1"`, "https://a/2", ""})
	var wrong struct {
		A int `json:"a"`
	}
	err = response.JSON(&wrong)
	if err == nil || strings.Contains(err.Error(), "x\"") || !strings.Contains(err.Error(), "answered unexpected shape of JSON at `a`") {
		t.Error(err)
	}
	same(t, err.(*trueup.Error).Unsettled, true)
}

func TestManyRequestsAreAnsweredInTheirOrder(t *testing.T) {
	engine := start(t, notes, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.Path)) }))
	engine.Apply()
	broken := trueup.HTTP.Post("https://a.example/b").JSON(func() {})
	requests := []*trueup.Request{trueup.HTTP.Get("https://a.example/a"), broken, trueup.HTTP.Get("https://a.example/c")}
	responses, errs := trueup.HTTP.SendAll(requests, 0)
	same(t, []string{string(responses[0].Bytes()), string(responses[2].Bytes())}, []string{"/a", "/c"})
	same(t, []bool{errs[0] == nil, errs[1] == nil, errs[2] == nil}, []bool{true, false, true})
	same(t, engine.Calls(), []string{"GET https://a.example/a", "GET https://a.example/c"})
}

func TestAnAnswerInAnErrorIsShortAndOnOneLine(t *testing.T) {
	for body, want := range map[string]string{
		"  a\n\x1b[31mb  ": "a  [31mb", strings.Repeat("ü", 400): strings.Repeat("ü", 150), "\xff": "", "": "",
		"a" + strings.Repeat("ü", 400): "a" + strings.Repeat("ü", 149),
	} {
		answering(t, 422, nil, body)
		same(t, failure(t, "GET").Detail, want)
	}
}
