import unittest

from trueup import Error, http
from trueup import contract as wit
from trueup.double import Double, respond
from trueup.http import _excerpt


class HttpTest(unittest.TestCase):
    def setUp(self):
        self.double = Double()
        self.double.phase = "apply"

    def check(self, method, answer, fault, unsettled=False, wait=None):
        self.double.serve(lambda _: answer)
        with self.assertRaises(Error) as raised:
            http.Request(method, "https://a.example/x?token=canary").send().ok()
        error = raised.exception
        self.assertEqual((error.fault, error.unsettled, error.wait), (fault, unsettled, wait), f"{method} {answer}")
        self.assertNotIn("canary", error.message)

    def test_each_status_means_what_the_host_should_do(self):
        faults = {400: "invalid", 401: "unauthorized", 403: "unauthorized", 404: "not-found", 405: "unsupported"}
        faults |= {409: "conflict", 412: "conflict", 418: "invalid", 422: "invalid", 503: "transient", 302: "internal"}
        for status, fault in faults.items():
            self.check("PUT", respond(status), fault)
        self.check("GET", respond(429, {"Retry-After": "7"}), "throttled", wait=7000)
        self.check("GET", respond(429, {"Retry-After": "soon"}), "throttled")
        self.check("GET", respond(503, {"Retry-After": "99999999999999999999"}), "transient")

    def test_what_may_have_taken_effect_is_unsettled_for_writes_alone(self):
        for method, writes in (("GET", False), ("POST", True), ("PURGE", True)):
            for status in (500, 502, 504):
                self.check(method, respond(status), "transient", writes)
            self.check(method, wit.HttpError_Interrupted("reset"), "transient", writes)
            self.check(method, wit.HttpError_TimedOut(), "transient", writes)
            self.check(method, wit.HttpError_TooLarge(9), "transient", writes)
            self.check(method, wit.HttpError_Unreachable("refused"), "transient")
            self.check(method, wit.HttpError_Denied("no rule"), "denied")
            self.check(method, wit.HttpError_Malformed("no host"), "internal")

    def test_a_request_is_built_as_it_reads(self):
        asked = []
        link = '<https://a/2>; rel="next", <https://a/9>; rel="last"'
        self.double.serve(lambda request: asked.append(request) or respond(200, {"ETag": '"1"', "Link": link}, {"ü": 1}))
        request = http.patch("https://a.example/x").query("a b", "c&d").query("e", "ü").query("no", None)
        response = request.credential("token").if_match('"0"').if_none_match(None).json([1, "ü"]).send().ok()
        request = asked[0]
        self.assertEqual((request.method, request.url), ("PATCH", "https://a.example/x?a%20b=c%26d&e=%C3%BC"))
        self.assertEqual(request.headers, [("if-match", '"0"'), ("content-type", "application/json")])
        self.assertEqual((request.credential, request.body), ("token", '[1,"ü"]'.encode()))
        self.assertEqual((response.json(), response.etag), ({"ü": 1}, '"1"'))
        self.assertEqual((response.link("next"), response.link("prev")), ("https://a/2", None))

    def test_many_requests_are_answered_in_their_order(self):
        self.double.serve(lambda request: respond(404 if request.url.endswith("b") else 200, {}, request.url.encode()))
        found = http.send_all([http.get("https://x/a"), http.get("https://x/b")])
        self.assertEqual([(it.status, it.bytes) for it in found], [(200, b"https://x/a"), (404, b"https://x/b")])
        self.double.serve(lambda _: wit.HttpError_TimedOut())
        self.assertEqual(http.send_all([http.get("https://x/a")])[0].code, "http.timed-out")
        self.assertEqual(http.send_all([]), [])

    def test_what_is_not_json_is_an_error_that_holds_nothing_of_it(self):
        self.double.serve(lambda _: respond(200, {}, b"canary"))
        for method, unsettled in (("GET", False), ("POST", True)):
            with self.assertRaises(Error) as raised:
                http.Request(method, "https://x/a").send().json()
            self.assertNotIn("canary", str(raised.exception))
            self.assertEqual(raised.exception.unsettled, unsettled)

    def test_an_answer_in_an_error_is_short_and_on_one_line(self):
        self.assertEqual(_excerpt(b"  a\n\x1b[31mb  "), "a  [31mb")
        self.assertEqual(len(_excerpt(("ü" * 400).encode()).encode()), 300)
        self.assertEqual((_excerpt(b"\xff"), _excerpt(b"")), (None, None))
