//! Master files as desired state.

use trueup_tests::servers::bind::{Allow, Bind, nsupdate};
use trueup_tests::servers::dig::dig;
use trueup_tests::servers::pdns::Pdns;

use super::{Way, ZONE, apply, declare, project, settled};

const FILE: &str = "\
$ORIGIN example.test.
$TTL 1h
@   IN SOA ns1 hostmaster ( 7 3600 600 86400 60 ) ; the server's
    IN NS  ns1
    IN MX  10 mail
Mail 300 A 10.0.0.25
$GENERATE 1-3 host-$ A 10.0.1.$
$ORIGIN sub
www IN TXT ( \"one\"
             \"two\" )
x_y IN TXT seven
mail IN A 10.0.0.8
";

const DOCUMENT: &str =
    "apiVersion: dns/v1\nkind: ZoneFile\nmetadata: {name: zone}\nspec: {zone: example.test, source: zones/example.test.zone}\n";

#[test]
fn an_existing_master_file_is_desired_state_as_it_stands() {
    let bind = Bind::start(&[ZONE], Allow::Key);
    let pdns = Pdns::start();
    pdns.zone(ZONE).allow_updates(ZONE);
    for (way, port) in [(Way::Dns(bind.dns), bind.dns), (Way::Api(pdns.api), pdns.dns)] {
        let project = project(&way);
        project.write("zones/example.test.zone", FILE).write("base/zone.yaml", DOCUMENT).commit("a zone");
        apply(&project).expect_exit(0);
        assert_eq!(dig(port, ZONE, "MX"), ["3600 MX 10 mail.example.test."]);
        assert_eq!(dig(port, "mail.example.test", "A"), ["300 A 10.0.0.25"]);
        assert_eq!(dig(port, "host-3.example.test", "A"), ["3600 A 10.0.1.3"]);
        assert_eq!(dig(port, "www.sub.example.test", "TXT"), ["3600 TXT \"one\" \"two\""]);
        assert_eq!(dig(port, "x_y.sub.example.test", "TXT"), ["3600 TXT \"seven\""]);
        settled(&project);
        project.write("zones/example.test.zone", FILE.replace("10.0.0.25", "10.0.0.26").replace("1-3", "1-2")).commit("less");
        nsupdate(port, ZONE, "update delete www.sub.example.test");
        apply(&project).expect_exit(0);
        assert_eq!(dig(port, "mail.example.test", "A"), ["300 A 10.0.0.26"]);
        assert!(dig(port, "host-3.example.test", "A").is_empty());
        assert_eq!(dig(port, "www.sub.example.test", "TXT"), ["3600 TXT \"one\" \"two\""]);
        assert_eq!(dig(port, "foreign.example.test", "TXT"), ["300 TXT \"theirs\""]);
        settled(&project);
    }
}

#[test]
fn a_mistake_in_a_master_file_is_shown_with_its_line() {
    let project = project(&Way::Dns(9));
    project.write("zones/example.test.zone", FILE.replace("10.0.0.25", "10.0.0.256")).write("base/zone.yaml", DOCUMENT);
    declare(
        &project,
        "other",
        "{\"apiVersion\": \"dns/v1\", \"kind\": \"RecordSet\", \"metadata\": {\"name\": \"x\"}, \"spec\": {\"zone\": \"example.test\", \"type\": \"A\", \"value\": \"10.0.0.1\"}}",
    );
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&["line 6", "mail.example.test", "10.0.0.256"]);
}
