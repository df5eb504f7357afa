use serde_json::json;

use super::*;
use crate::value::{blob, secret as secret_marker, unknown};

/// Names of a small environment.
struct World;

impl Names for World {
    fn var(&self, name: &str) -> Option<Cow<'_, Json>> {
        let value = match name {
            "n" => json!(2),
            "ratio" => json!(1.5),
            "domain" => json!("example.com"),
            "on" => json!(true),
            "nothing" => Json::Null,
            "list" => json!(["a", "b", "c"]),
            "map" => json!({"cpu": 2, "a-b": "x", "mem": {"limit": "1Gi"}}),
            "big" => Json::String("x".repeat(1 << 20)),
            "wait" => unknown("File/w"),
            "deep" => json!({"inner": [unknown("File/w")]}),
            _ => return None,
        };
        Some(Cow::Owned(value))
    }

    fn variables(&self) -> Vec<&str> {
        vec!["n", "ratio", "domain", "on", "nothing", "list", "map", "big", "wait", "deep"]
    }

    fn environment(&self) -> &str {
        "prod"
    }

    fn spec(&self, reference: &str) -> Result<Cow<'_, Json>, NameError> {
        match reference {
            "File/a" => {
                let spec = json!({"path": "a.txt", "mode": "0644", "ports": [{"port": 80}], "later": unknown("File/z"),
                    "password": secret_marker("db", ""), "source": blob(&crate::value::Digest::of(b""), 0)});
                Ok(Cow::Owned(spec))
            }
            _ => Err(NameError::missing(format!("`{reference}` is not declared"), Some("did you mean `File/a`?".to_owned()))),
        }
    }

    fn status(&self, reference: &str) -> Result<Option<Cow<'_, Json>>, NameError> {
        match reference {
            "File/a" => Ok(Some(Cow::Owned(json!({"size": 12, "url": unknown("File/a")})))),
            _ => Ok(None),
        }
    }

    fn shortest(&self, reference: &str) -> String {
        format!("short:{reference}")
    }

    fn secret_granted(&self, name: &str) -> bool {
        name != "denied"
    }

    fn itself(&self) -> Option<Cow<'_, Json>> {
        Some(Cow::Owned(json!({"spec": {"name": "me", "replicas": 3}})))
    }
}

fn run(text: &str) -> Result<Evaluated, ExpressionError> {
    match Template::parse(text)? {
        Some(template) => template.evaluate(&World),
        None => Ok(Evaluated::Value(Json::from(text))),
    }
}

#[track_caller]
fn check(text: &str, want: Json) {
    assert_eq!(run(text), Ok(Evaluated::Value(want)), "{text}");
}

/// `marked` is the text with `«` and `»` around what the caret must underline.
#[track_caller]
fn refused(marked: &str, code: Code, message: &str, hint: Option<&str>) {
    let text = marked.replace(['«', '»'], "");
    let error = run(&text).expect_err(&text);
    let mut shown = text.clone();
    shown.insert(error.end, '»');
    shown.insert(error.start, '«');
    assert_eq!(shown, marked, "caret of: {}", error.message);
    assert_eq!((error.code, error.message.as_str(), error.hint.as_deref()), (code, message, hint), "{marked}");
}

/// What is said where no name is near.
const METHODS: &str = "there are charAt, contains, endsWith, indexOf, item, join, lastIndexOf, lowerAscii, replace, reverse, size, split, startsWith, substring, trim, upperAscii; `trueup help expressions` says what they do";

#[track_caller]
fn secret_text(text: &str, name: &str, parts: &[SecretPart]) {
    assert_eq!(run(text), Ok(Evaluated::Secret { name: name.to_owned(), parts: parts.to_vec() }), "{text}");
}

fn plain(text: &str) -> SecretPart {
    SecretPart::Text(text.to_owned())
}

fn hidden(name: &str) -> SecretPart {
    SecretPart::Secret(name.to_owned())
}

#[test]
fn a_whole_expression_keeps_its_type_and_inside_text_becomes_text() {
    check("${{ vars.n }}", json!(2));
    check("${{ vars.n + 1 }}", json!(3));
    check("${{ vars.list }}", json!(["a", "b", "c"]));
    check("${{vars.on}}", json!(true));
    check("${{ vars.nothing }}", Json::Null);
    check(" ${{ vars.n }}", json!(" 2"));
    check("${{ vars.n }}\n", json!("2\n"));
    check("a-${{ env.name }}-${{ vars.ratio }}-${{ vars.on }}", json!("a-prod-1.5-true"));
}

#[test]
fn what_only_looks_like_an_expression_is_left_alone() {
    for text in ["${VAR}", "{{ .Values.x }}", "$", "${", "}}", "$ {{ x }}", "", "ünïcode"] {
        assert_eq!(Template::parse(text), Ok(None), "{text}");
    }
    check("$${{ x }}", json!("${{ x }}"));
    check("a $${{ b ${{ vars.n }} }} $$${{", json!("a ${{ b 2 }} $${{"));
    check("${{ '${{ x }}' }}", json!("${{ x }}"));
}

#[test]
fn closing_braces_inside_texts_and_mappings_do_not_end_an_expression() {
    check("${{ '}}' }}", json!("}}"));
    check(r#"${{ "a\"}}" + 'b' }}"#, json!("a\"}}b"));
    check("${{ {'a': {'b': 1}} }}", json!({"a": {"b": 1}}));
    check("${{{'a': {'b': 1}}.a.b}}}", json!("1}"));
    check("${{ r'\\}}' }}", json!("\\}}"));
    check("${{ '''it's\n}}''' }}", json!("it's\n}}"));
}

#[test]
fn names_reach_variables_environment_resources_and_self() {
    check("${{ vars.map.cpu }}", json!(2));
    check("${{ vars['map']['a-b'] }}", json!("x"));
    check("${{ env.name }}", json!("prod"));
    check("${{ ref('File/a').spec.path }}", json!("a.txt"));
    check("${{ ref(\"File/a\").spec.ports[0].port }}", json!(80));
    check("${{ ref('File/a')['spec'].path }}", json!("a.txt"));
    check("${{ ref('File/a').status.size }}", json!(12));
    check("${{ self.spec.name }}", json!("me"));
    check("${{ has(vars.n) && !has(vars.m) && has(vars.map.cpu) && !has(vars.map.gpu) }}", json!(true));
    check("${{ 'n' in vars && 'cpu' in vars.map && !('zz' in vars) }}", json!(true));
}

/// The answers are those of the Rust CEL interpreter (`cel` 0.15 with its string extension), with which 100,000 random
/// expressions of these operators and functions were compared when this evaluator was written.
#[test]
fn operators_and_functions_answer_as_cel_does() {
    let cases = [
        ("1 + 2 * 3 - 4 / 2 % 3", json!(5)),
        ("(1 + 2) * 3", json!(9)),
        ("-7 / 2", json!(-3)),
        ("-7 % 3", json!(-1)),
        ("- vars.n - -1", json!(-1)),
        ("-9223372036854775808 / 1000000000000", json!(-9_223_372)),
        ("0x1F", json!(31)),
        ("1.5 + 2.5", json!(4.0)),
        ("1e3", json!(1000.0)),
        ("1 == 1.0", json!(true)),
        ("1 < 1.5 && 2.5 > 2 && 'a' < 'b' && false < true", json!(true)),
        ("'1' == 1", json!(false)),
        ("null == null", json!(true)),
        ("[1, 2.0] == [1.0, 2]", json!(true)),
        ("{'a': 1} == {'a': 1.0}", json!(true)),
        ("!true || true && false", json!(false)),
        ("true ? 1 : false ? 2 : 3", json!(1)),
        ("false ? 1 : false ? 2 : 3", json!(3)),
        ("[1, 2] + [3]", json!([1, 2, 3])),
        ("[1, 2,][1] + [1, 2][0.0]", json!(3)),
        ("'b' in ['a', 'b']", json!(true)),
        ("'b' in {'a': 1} || 7 in {'a': 1}", json!(false)),
        ("size('ünï') + size([1]) + {'a': 1}.size()", json!(5)),
        ("string(1) + string(1.5) + string(2.0) + string(true) + string('x')", json!("11.52truex")),
        ("int('12') + int(3.9) + int(-3.9)", json!(12)),
        ("double('1.5') + double(2)", json!(3.5)),
        ("bool('true') && !bool('0')", json!(true)),
        ("'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')", json!(true)),
        ("'hello'.charAt(1) + 'hello'.charAt(5)", json!("e")),
        ("'hello mellow'.indexOf('ell')", json!(1)),
        ("'hello mellow'.indexOf('ell', 2)", json!(7)),
        ("'hello mellow'.indexOf('jello')", json!(-1)),
        ("'hello mellow'.indexOf('')", json!(0)),
        ("'hello mellow'.lastIndexOf('ell')", json!(7)),
        ("'hello mellow'.lastIndexOf('ell', 6)", json!(1)),
        ("'hello mellow'.lastIndexOf('')", json!(12)),
        ("'ünï'.indexOf('ï') + 'üüü'.lastIndexOf('ü')", json!(4)),
        ("['a', 'b'].join('-') + ['a', 'b'].join()", json!("a-bab")),
        ("'TacoCät Ü'.lowerAscii() + 'aä'.upperAscii()", json!("tacocät ÜAä")),
        ("'hello hello'.replace('he', 'we')", json!("wello wello")),
        ("'hello hello'.replace('he', 'we', 1)", json!("wello hello")),
        ("'hello hello'.replace('he', 'we', 0)", json!("hello hello")),
        ("'abc'.replace('', '-')", json!("-a-b-c-")),
        ("'a b c'.split(' ')", json!(["a", "b", "c"])),
        ("'a b c'.split(' ', 2)", json!(["a", "b c"])),
        ("'a b c'.split(' ', 0)", json!([])),
        ("'abc'.split('')", json!(["a", "b", "c"])),
        ("'abc'.split('', 2)", json!(["a", "bc"])),
        ("'tacocat'.substring(4) + 'tacocat'.substring(0, 4)", json!("cattaco")),
        ("'  x\\n'.trim()", json!("x")),
        ("'gums'.reverse()", json!("smug")),
        ("[1, 2].reverse()", json!([2, 1])),
        (r#"'\x41\u00fc\U0001F600\101\n' + "\"" + r'\n'"#, json!("A\u{fc}\u{1F600}A\n\"\\n")),
    ];
    for (text, want) in cases {
        check(&format!("${{{{ {text} }}}}"), want);
    }
}

#[test]
fn every_fault_has_a_caret_and_says_what_to_do() {
    use codes::{EXPRESSION_FAILED as FAILED, EXPRESSION_SYNTAX as SYNTAX, EXPRESSION_UNDEFINED as UNDEFINED, REFERENCE_MISSING};
    refused("a «${{» vars.n", SYNTAX, "`${{` is never closed by `}}`", Some("write `$${{` for a literal `${{`"));
    refused("${{ «'»abc }}", SYNTAX, "this text is never closed", Some("end it with ' on the same line"));
    refused("${{ «}}»", SYNTAX, "an expression is empty", Some("write a name such as `vars.name`"));
    refused("${{ vars.n «=» 1 }}", SYNTAX, "`=` has no meaning here", Some("equality is `==`"));
    refused("${{ vars.n + «}}»", SYNTAX, "expected a value, found the end of the expression", None);
    refused("${{ 1 «2» }}", SYNTAX, "expected an operator or the end, found `2`", None);
    refused("${{ (1 «}}»", SYNTAX, "expected `)`, found the end of the expression", None);
    refused("${{ «1u» }}", SYNTAX, "`1u` is not a number", Some("whole numbers are written without `u`"));
    refused("${{ «9223372036854775808» }}", SYNTAX, "this number is too large", Some("quote it"));
    refused("ü ${{ vars.«domian» }}", UNDEFINED, "there is no variable `domian`", Some("did you mean `domain`?"));
    refused("${{ vars.map.«cpus» }}", UNDEFINED, "there is no field `cpus`", Some("did you mean `cpu`?"));
    refused("${{ vars.map.«zone» }}", UNDEFINED, "there is no field `zone`", Some("there is `a-b`, `cpu`, `mem`"));
    refused("${{ vars.list[«3»] }}", UNDEFINED, "there is no item 3 in a list of 3 items", None);
    refused("${{ vars.list.«name» }}", FAILED, "a list has no field `name`", Some("take an item first: `[0]`"));
    refused("${{ «var».n }}", UNDEFINED, "`var` is not defined", Some("write `vars.name`: `var` is reserved in CEL"));
    refused("${{ «env».namespace }}", SYNTAX, "of `env` there is only `env.name`", Some("other values belong in `vars`"));
    refused("${{ «vars» }}", SYNTAX, "`vars` alone is not a value", Some("write `vars.name`"));
    refused("${{ vars.domain.«lower»() }}", UNDEFINED, "there is no function `lower`", Some(METHODS));
    refused(
        "${{ vars.domain.«lowerAsci»() }}",
        UNDEFINED,
        "there is no function `lowerAsci`",
        Some("did you mean `lowerAscii`?"),
    );
    refused(
        "${{ «contains»('a', 'b') }}",
        UNDEFINED,
        "there is no function `contains`",
        Some("write it behind its value: `vars.x.contains()`"),
    );
    refused(
        "${{ vars.n.«string»() }}",
        UNDEFINED,
        "there is no function `string`",
        Some("write it around its value: `string(vars.x)`"),
    );
    refused("${{ 'a'.«replace»('b') }}", SYNTAX, "`replace` takes 2 to 3 arguments, here are 1", None);
    refused(
        "${{ vars.list.«map»(x, x + 1) }}",
        SYNTAX,
        "`map` is not part of this language: the cost of comprehensions cannot be bounded",
        Some("write the items out, or put the result into `vars`"),
    );
    refused(
        "${{ ref(«vars.domain»).spec.path }}",
        SYNTAX,
        "this must be one literal text, so that it is known before anything runs",
        Some("write `ref('Kind/name').spec.field`"),
    );
    refused(
        "${{ ref('File/a').«path» }}",
        SYNTAX,
        "of a `ref()` there are only `.spec` and `.status`",
        Some("write `ref('File/a').spec.field` or `ref('File/a').status.field`"),
    );
    refused("${{ «ref('File/b')».spec.path }}", REFERENCE_MISSING, "`File/b` is not declared", Some("did you mean `File/a`?"));
    refused(
        "${{ «'a' + 1» }}",
        FAILED,
        "`+` cannot join a text and a whole number",
        Some("convert one with `string(…)`, `int(…)` or `double(…)`"),
    );
    refused(
        "${{ «1 + 1.5» }}",
        FAILED,
        "`+` cannot join a whole number and a decimal number",
        Some("make the whole number a decimal one with `double(…)`"),
    );
    refused("${{ «1 / 0» }}", FAILED, "division by zero", None);
    refused("${{ «9223372036854775807 + 1» }}", FAILED, "the result is too large for a number", None);
    refused(
        "${{ «9007199254740992» }}",
        FAILED,
        "this number is too large to be kept exactly",
        Some("make it a text with `string(…)`"),
    );
    refused(
        "${{ «vars.n» ? 1 : 2 }}",
        FAILED,
        "this must be true or false, here is a whole number",
        Some("compare it: `x == 1`, `x != ''`"),
    );
    refused(
        "x ${{ «vars.list» }}",
        FAILED,
        "a list cannot stand inside a text",
        Some("let the expression be the whole value, or take one field of it"),
    );
    refused(
        "x ${{ «vars.nothing» }}",
        FAILED,
        "null cannot stand inside a text",
        Some("let the expression be the whole value, or take one field of it"),
    );
    refused("${{ «int('x')» }}", FAILED, "`int` cannot be made of a text `x`", None);
    refused("${{ {'a': 1, «'a'»: 2} }}", FAILED, "the key `a` stands here twice", None);
}

#[test]
fn an_unknown_part_makes_the_whole_unknown_unless_it_cannot_matter() {
    let waits = |text: &str, after: &str| assert_eq!(run(text), Ok(Evaluated::Unknown(after.to_owned())), "{text}");
    waits("${{ ref('File/b').status.id }}", "short:File/b");
    waits("${{ ref('File/a').status.url }}", "File/a");
    waits("${{ ref('File/a').spec.later }}", "File/z");
    waits("a ${{ vars.wait }} b", "File/w");
    waits("${{ vars.wait + 1 }}", "File/w");
    waits("${{ [1, vars.wait] }}", "File/w");
    waits("${{ {'a': vars.wait} }}", "File/w");
    waits("${{ vars.deep }}", "File/w");
    waits("${{ vars.deep.inner[0].x.size() > 0 }}", "File/w");
    waits("${{ vars.wait ? 1 : 2 }}", "File/w");
    waits("${{ true && vars.wait }}", "File/w");
    waits("${{ has(vars.wait.x) }}", "File/w");
    waits("${{ 'a'.replace('a', vars.wait) }}", "File/w");
    waits("${{ vars.wait }}-${{ secret('db') }}", "File/w");
    check("${{ vars.wait || true }}", json!(true));
    check("${{ vars.wait && false }}", json!(false));
    refused(
        "${{ vars.wait + vars.«oops» }}",
        codes::EXPRESSION_UNDEFINED,
        "there is no variable `oops`",
        Some("there is `n`, `ratio`, `domain`, `on`, `nothing`, `list`, `map`, `big`, …"),
    );
}

#[test]
fn a_secret_is_a_whole_text_or_a_part_of_one_and_nothing_else() {
    secret_text("${{ secret('db') }}", "db", &[hidden("db")]);
    secret_text("u:${{ secret('db') }}@h", "db", &[plain("u:"), hidden("db"), plain("@h")]);
    secret_text(
        "${{ 'u:' + secret('db') + '@' + vars.domain }}",
        "db",
        &[plain("u:"), hidden("db"), plain("@"), plain("example.com")],
    );
    secret_text("${{ secret('a') + secret('b') }}", "a+b", &[hidden("a"), hidden("b")]);
    secret_text("${{ vars.on ? secret('a') : secret('b') }}", "a", &[hidden("a")]);
    let place = "a secret can only be a text or part of one";
    let hint = Some("only `+` and text around it may touch a secret");
    for marked in [
        "${{ «secret('db')» == 'x' }}",
        "${{ size(«secret('db')») }}",
        "${{ «secret('db')».size() }}",
        "${{ 'x'.contains(«secret('db')») }}",
        "${{ [«secret('db')»] }}",
        "${{ {'a': «secret('db')»} }}",
        "${{ «secret('db')».x }}",
        "${{ «secret('db')» ? 1 : 2 }}",
        "${{ secret('db') + «1» }}",
        "${{ vars.map[«secret('db')»] }}",
    ] {
        refused(marked, codes::SECRET_PLACE, place, hint);
    }
    refused(
        "${{ «secret('denied')» }}",
        codes::SECRET_PLACE,
        "the secret `denied` is not granted to the provider of this document",
        Some("add it to `secrets` of the provider in trueup.yaml"),
    );
    refused(
        "${{ «ref('File/a').spec.password» }}",
        codes::SECRET_PLACE,
        "this value of another resource is a secret",
        Some("name it here by `secret('name')`"),
    );
    refused(
        "${{ «ref('File/a').spec» }}",
        codes::SECRET_PLACE,
        "this value of another resource is a secret",
        Some("name it here by `secret('name')`"),
    );
}

#[test]
fn what_a_template_uses_is_known_before_it_runs() {
    let template = Template::parse(
        "${{ ref('B/b').status.ip[0].x + vars.n }} ${{ secret('z') + secret('a') }} ${{ ref('A/a').spec[vars.k].y }} ${{ self.spec['name'] }}",
    );
    let template = template.unwrap().unwrap();
    let references: Vec<_> =
        template.references().iter().map(|it| (it.text.as_str(), it.status, it.path.to_string(), it.start, it.end)).collect();
    assert_eq!(references, [("B/b", true, "ip[0].x".to_owned(), 4, 14), ("A/a", false, String::new(), 79, 89)]);
    assert_eq!(template.secrets(), ["a", "z"]);
    assert!(template.uses_vars() && !template.is_static());
    assert_eq!(template.own().iter().map(Path::to_string).collect::<Vec<_>>(), ["spec.name"]);
    let settled = Template::parse("${{ env.name }}").unwrap().unwrap();
    assert!(settled.is_static() && !settled.uses_vars());
}

#[test]
fn a_bare_expression_needs_no_braces_around_it() {
    let template = Template::bare("self.spec.replicas == 3 && self.spec.name != ''").unwrap();
    assert_eq!(template.evaluate(&World), Ok(Evaluated::Value(json!(true))));
    let error = Template::bare("self.spec.replicas ==").unwrap_err();
    assert_eq!((error.start, error.message.as_str()), (21, "expected a value, found the end of the expression"));
}

/// Texts at the limits: the largest that are accepted, and what lies just past them.
fn at_the_limits() -> Vec<(String, bool)> {
    let sum = |count: usize| format!("${{{{ {}1 }}}}", "1+".repeat(count));
    let nest = |open: &str, close: &str, depth: usize| format!("${{{{ {}1{} }}}}", open.repeat(depth), close.repeat(depth));
    let mut out = vec![
        (sum(490), true),
        (sum(520), false),
        (format!("${{{{ vars.map{} }}}}", ".a".repeat(400)), true),
        (format!("${{{{ '{}' }}}}", "x".repeat(4000)), true),
        (format!("${{{{ '{}' }}}}", "x".repeat(4100)), false),
        (format!("${{{{ {}1{} }}}}", "true ? ".repeat(32), " : 2".repeat(32)), true),
        (format!("${{{{ {}1{} }}}}", "true ? ".repeat(33), " : 2".repeat(33)), false),
        (format!("${{{{ {}true }}}}", "!".repeat(32)), true),
        (format!("${{{{ {}true }}}}", "!".repeat(33)), false),
    ];
    for (open, close) in
        [("(", ")"), ("[", "]"), ("size([", "])"), ("{'a': ", "}"), ("1 + (2 * (", "))"), ("true && (1 == (1 + (-(", "))))")]
    {
        let each = open.matches(['(', '[', '{']).count() + usize::from(open.contains('-'));
        out.push((nest(open, close, 32 / each), true));
        out.push((nest(open, close, 32 / each + 1), false));
    }
    out
}

#[test]
fn no_text_however_hostile_takes_more_than_a_small_stack_and_a_few_milliseconds() {
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let run_all = small.spawn(|| {
        for (text, accepted) in at_the_limits() {
            let mut fastest = std::time::Duration::MAX;
            // The best of three, as the machine may be busy with something else.
            for _ in 0..3 {
                let start = std::time::Instant::now();
                let parsed = Template::parse(&text);
                let limited = parsed.as_ref().is_err_and(|it| it.code == codes::EXPRESSION_LIMIT);
                assert_eq!(limited, !accepted, "{text}: {parsed:?}");
                if let Ok(Some(template)) = parsed {
                    let _ = template.evaluate(&World);
                }
                fastest = fastest.min(start.elapsed());
            }
            assert!(fastest.as_millis() < 50, "{fastest:?} for {text}");
        }
    });
    run_all.unwrap().join().unwrap();
}

#[test]
fn an_evaluation_that_grows_without_end_is_stopped() {
    let limited = |text: &str| {
        let error = run(text).expect_err(text);
        assert_eq!((error.code, error.hint), (codes::EXPRESSION_LIMIT, None), "{text}: {}", error.message);
    };
    limited("${{ vars.big.replace('', vars.big) }}");
    limited("${{ vars.big.replace('x', 'xxxxxxxx') }}");
    limited("${{ vars.big.split('').join('aaaaaaaa') }}");
    limited("${{ vars.big + vars.big + vars.big + vars.big + vars.big }}");
    limited(&format!("${{{{ [{}] }}}}", "vars.big, ".repeat(300)));
    limited(&format!("a{}", "${{ vars.big }}".repeat(5)));
    let template = Template::parse("${{ vars.big + '' }}").unwrap().unwrap();
    let mut budget = 10 << 20;
    let runs = std::iter::repeat_with(|| template.evaluate_within(&World, &mut budget)).take(20);
    assert!(runs.collect::<Vec<_>>().iter().any(Result::is_err), "a shared budget runs out");
}

#[test]
fn what_a_document_may_hold_bounds_the_depth_of_a_result() {
    struct Deep;
    impl Names for Deep {
        fn var(&self, _: &str) -> Option<Cow<'_, Json>> {
            Some(Cow::Owned((0..60).fold(json!(1), |inner, _| json!([inner]))))
        }
        fn environment(&self) -> &str {
            "e"
        }
        fn spec(&self, reference: &str) -> Result<Cow<'_, Json>, NameError> {
            Err(NameError::missing(reference, None))
        }
        fn status(&self, reference: &str) -> Result<Option<Cow<'_, Json>>, NameError> {
            Err(NameError::missing(reference, None))
        }
        fn secret_granted(&self, _: &str) -> bool {
            false
        }
        fn itself(&self) -> Option<Cow<'_, Json>> {
            None
        }
    }
    let evaluate = |text: &str| Template::parse(text).unwrap().unwrap().evaluate(&Deep).map_err(|it| it.code);
    assert!(evaluate("${{ [[vars.x]] }}").is_ok());
    assert_eq!(evaluate("${{ [[[[[[[[vars.x]]]]]]]] }}"), Err(codes::EXPRESSION_LIMIT));
    assert_eq!(evaluate("${{ self.x }}"), Err(codes::EXPRESSION_PLACE));
}

#[test]
fn no_text_at_all_makes_the_parser_or_the_evaluator_panic() {
    use proptest::prelude::*;
    let parts = prop::sample::select(vec![
        "${{",
        "}}",
        "$",
        "vars",
        ".",
        "n",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        "'''",
        "\\",
        "+",
        "-",
        "ref('File/a')",
        ".spec",
        ".status",
        "secret('db')",
        "ü",
        "1",
        "0x",
        "1e",
        " ",
        "\n",
        "?",
        ":",
        "&&",
        "in",
        "self",
        "has(",
        "size(",
        ",",
        "null",
        "r'",
        ".substring(1)",
        ".split('')",
        "vars.list",
        "vars.wait",
        "!",
        "==",
        "<",
        "%",
        "/",
    ]);
    let texts = prop::collection::vec(parts, 0..24).prop_map(|it| format!("${{{{ {} }}}}", it.concat()));
    proptest!(|(text in texts)| {
        if let Err(error) = run(&text) {
            prop_assert!(error.start <= error.end && error.end <= text.len(), "{text}: {error:?}");
            prop_assert!(text.is_char_boundary(error.start) && text.is_char_boundary(error.end), "{text}: {error:?}");
        }
    });
}
