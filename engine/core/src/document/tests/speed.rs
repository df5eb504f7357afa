use std::time::Instant;

use super::*;

/// Prints what reading and evaluating costs. Run it alone, in release:
/// `cargo test --release -p trueup-core -- --ignored --nocapture ten_thousand_small_documents`.
#[test]
#[ignore = "a measurement, not a check"]
#[expect(clippy::print_stdout, reason = "its output is its purpose")]
fn ten_thousand_small_documents() {
    let one = |at: usize, spec: &str| file(&format!("f{at}"), &format!("content: \"text of file {at}\", mode: \"0644\", {spec}"));
    let files = |spec: &dyn Fn(usize) -> String| {
        (0..10_000).fold(Case::new(), |case, at| case.file("base", &format!("d{}/f{at}.yaml", at / 100), one(at, &spec(at))))
    };
    let plain = files(&|_| "tags: [a, b]".to_owned());
    let expressions = files(&|_| "note: \"${{ vars.domain }}\"".to_owned());
    let chain = files(&|at| match at {
        0 => "note: x".to_owned(),
        _ => format!("note: \"${{{{ ref('File/f{}').spec.note }}}}\"", at - 1),
    });
    let start = Instant::now();
    let parsed: usize =
        plain.files.iter().map(|(_, path, bytes)| parse(&path.as_str().into(), bytes, &Limits::default()).0.len()).sum();
    println!("{parsed} documents parsed in {:?}", start.elapsed());
    for (name, case) in [("without expressions", &plain), ("with a variable each", &expressions), ("in a chain", &chain)] {
        case.with_input(|input| {
            let start = Instant::now();
            let done = evaluate(input, None);
            println!(
                "{} documents {name} evaluated in {:?}, {} findings",
                done.resources.len(),
                start.elapsed(),
                done.diagnostics.len()
            );
        });
    }
    let known: HashSet<ResourceId> =
        (0..100_000).map(|it| ResourceId::new("site", "File", None, &format!("known{it}"))).collect();
    let mut few = (0..100).fold(Case::new(), |case, at| {
        case.file("base", &format!("f{at}.yaml"), one(at, "note: \"${{ ref('File/known7').status.url }}\""))
    });
    few.known = Some(Declared(known));
    few.with_input(|input| {
        let start = Instant::now();
        let done = evaluate(input, None);
        println!("{} documents among 100,000 known in {:?}", done.resources.len(), start.elapsed());
    });
}
