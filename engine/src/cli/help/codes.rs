//! What each error code means and what to do about it.

use trueup_core::diagnostic::{Code, codes as all};

/// Every code with its title, a line each.
pub fn list() -> String {
    let lines: String = all::ALL.iter().map(|(code, title)| format!("  {code}  {title}\n")).collect();
    format!("Error codes; `trueup help TU0123` says more of one.\n\n{lines}")
}

/// Code, title, meaning and remedy; None where there is no such code.
pub fn explain(code: Code) -> Option<String> {
    let (_, title) = all::ALL.iter().find(|(it, _)| *it == code)?;
    let (_, text) = TEXTS.iter().find(|(it, _)| *it == code)?;
    Some(format!("{code}: {title}\n\n{text}\n"))
}

const TEXTS: &[(Code, &str)] = &[
    (
        all::SOURCE_UNREADABLE,
        "The Git repository, or an object in it, could not be read. Nothing is planned, and nothing is ever deleted, on a source that was not read completely.\nCheck the path or URL, `--rev`, and the credential with `git: true`; then run it again.",
    ),
    (
        all::PATH_REFUSED,
        "A path in the repository is absolute, leaves the repository, or holds characters that could mislead.\nRename the file.",
    ),
    (
        all::SYMLINK,
        "Symbolic links in a repository are not followed, as they could lead anywhere.\nPut the file itself where the link is.",
    ),
    (
        all::SUBMODULE,
        "Submodules are ignored: their content is not part of the commit that was reviewed.\nCopy the files, or make a project of their own of them.",
    ),
    (
        all::SOURCE_LIMIT,
        "The source holds more or larger files than may be: 1,000,000 files, 16 MiB for a file of documents, 64 MiB for a file that a document names; or an environment declares more than 1,000,000 resources.\nTake out of the layer what does not belong there (`exclude:` of the environment in `trueup.yaml` takes globs), or split the project.",
    ),
    (
        all::LAYER_MISSING,
        "`trueup.yaml` names a layer that is no folder at this revision. It could mean that everything in it was deleted, so the environment is not planned.\nCommit the folder, or correct the name.",
    ),
    (
        all::SYNTAX,
        "The file is not YAML 1.2 or JSON. The caret shows where the reader gave up; the mistake is often on the line before.",
    ),
    (
        all::ENCODING,
        "The file is not UTF-8, or holds NUL, a byte order mark, or characters that turn the direction of text around.\nSave it as UTF-8 and remove them.",
    ),
    (all::DUPLICATE_KEY, "One mapping holds a key twice. Other readers silently take the last one.\nRemove one of them."),
    (
        all::AMBIGUOUS_SCALAR,
        "YAML 1.1 and YAML 1.2 read this plain value differently (`0644`, `yes`, `on`, `1:30`).\nQuote it to make it a text, or write the other form (`420`, `true`).",
    ),
    (all::DOCUMENT_LIMIT, "The document is larger than 4 MiB, deeper than 64 levels, or repeats too much by aliases."),
    (all::UNKNOWN_TAG, "The document uses a YAML tag (`!name`) that means nothing here.\nRemove the tag."),
    (all::NUMBER, "The number cannot be kept exactly as JSON (beyond 2^53, or not a number).\nQuote it to make it a text."),
    (all::SHAPE, "Every document is a mapping with `apiVersion`, `kind`, `metadata.name` and the fields of its kind."),
    (
        all::NAME,
        "Names of resources are 1 to 253 of A-Z a-z 0-9 . _ * @ -; names of projects, environments and aliases 1 to 40 of a-z 0-9 -.",
    ),
    (all::RESERVED, "The key or value is used by the engine itself.\nChoose another one."),
    (
        all::FOREIGN_FORMAT,
        "A kustomization or chart is a program that makes documents, not a document.\nCommit what it renders, or take the folder out of the layer: `exclude: [\"base/chart/**\"]` of the environment in `trueup.yaml`.",
    ),
    (
        all::DUPLICATE_IDENTITY,
        "Two documents of one layer have the same kind and name, so that neither can be the one.\nRename one, or move one into a later layer, where it merges.",
    ),
    (
        all::NO_PROVIDER,
        "No provider of this environment takes the document's `apiVersion`.\nWrite `apiVersion: <alias>/v1` with an alias of `trueup.yaml`, or name one by the annotation `trueup.dev/provider`.",
    ),
    (
        all::AMBIGUOUS_PROVIDER,
        "More than one provider takes documents of this `apiVersion`.\nName one by the annotation `trueup.dev/provider`, or set `defaultProvider` for the environment.",
    ),
    (
        all::SETTING_UNKNOWN,
        "An annotation `trueup.dev/…` that does not exist would be a setting that silently does nothing.\nCorrect its name.",
    ),
    (all::SETTING_VALUE, "The annotation has a value that it cannot take."),
    (
        all::SETTING_UNSUPPORTED,
        "The annotation exists, and this version does not act on it yet.\nRemove it, as it would protect nothing.",
    ),
    (
        all::LIST_REPLACED,
        "A later layer gives a list, and nothing says by which key its items belong together; so the whole list is replaced.\nRepeat the items that should stay.",
    ),
    (
        all::REMOVE_NOTHING,
        "`trueup.dev/remove` takes away what an earlier layer declares, and none does.\nCorrect the name, or remove the document.",
    ),
    (all::DUPLICATE_OBJECT, "Two resources render to one object, so that they would undo each other for ever.\nRemove one."),
    (all::SCHEMA, "The kind's schema refuses the value. `trueup plugin show PLUGIN KIND` lists the fields."),
    (
        all::UNKNOWN_FIELD,
        "The kind has no such field; most often it is misspelt. `trueup plugin show PLUGIN KIND` lists the fields.",
    ),
    (
        all::MISSING_FIELD,
        "The kind requires a field that the document does not have. `trueup plugin show PLUGIN KIND` lists the fields.",
    ),
    (
        all::UNKNOWN_KIND,
        "The provider has no such kind. `trueup plugin show PLUGIN` lists its kinds. Where a system has kinds of its own (a cluster), it was asked and has none of this name, and no document in a layer defines it: install or declare its definition.",
    ),
    (
        all::PLAIN_SECRET,
        "A field for secrets holds a plain value, which is then in Git for everybody who can read it. The value is not shown.\nWrite `${{ secret('name') }}`, put the value into `credentials.yaml` under `secrets:`, and change the secret, as it is known now.",
    ),
    (
        all::BLOB_MISSING,
        "The document names a file that is not in the revision.\nCommit the file, or correct the path: it counts from the folder of `trueup.yaml`, wherever the document stands.",
    ),
    (all::RENDER, "The plugin refused the document; its own words say why."),
    (
        all::API_VERSION,
        "The system does not serve this version of the kind, or documents write one kind in two versions. Write all of them in one version that is served: what a document says is compared in the version that it names.",
    ),
    (
        all::KIND_LEFT_OUT,
        "The system has a kind whose schema this engine cannot take; documents of it are unknown here. The other kinds are none the worse.",
    ),
    (
        all::EXPRESSION_SYNTAX,
        "The text between `${{` and `}}` is no expression. A plain YAML value cannot hold `: ` or ` #`: quote the whole value.\n`$${{` stands for a literal `${{`.",
    ),
    (
        all::EXPRESSION_LIMIT,
        "The expression is longer than 4 KiB, nested deeper than 32, has more than 1,000 parts, or uses a comprehension (`map`, `filter`, `all`), whose cost nobody can bound.",
    ),
    (
        all::EXPRESSION_UNDEFINED,
        "The expression names something that is not there. Undefined is never an empty text.\nCorrect the name, or declare it under `vars`.",
    ),
    (
        all::EXPRESSION_FAILED,
        "The expression is well formed and cannot be evaluated, most often as two types do not go together.",
    ),
    (
        all::EXPRESSION_PLACE,
        "Metadata and address fields may use `vars` and `env` only, as the name of a resource must be known before anything else.",
    ),
    (all::REFERENCE_MISSING, "`ref('…')` or `depends-on` names a resource that this environment does not declare."),
    (
        all::REFERENCE_AMBIGUOUS,
        "Several resources answer to the name.\nWrite more of it: `Kind/namespace/name` or `alias:Kind/name`.",
    ),
    (all::CYCLE, "Resources wait for each other in a circle, so that none can be first.\nTake one reference out of it."),
    (
        all::SECRET_PLACE,
        "`secret('…')` may stand only in a field that its schema marks sensitive or write-only, and only where the provider is granted that name: `secrets: [name]` of the provider in `trueup.yaml`.",
    ),
    (
        all::PROJECT,
        "`trueup.yaml` cannot be read or is wrong. Unknown keys are errors, so that a misspelt right is never silently another one.",
    ),
    (
        all::UNTRUSTED,
        "The project asks for hosts, folders outside of it, credentials or plugins that nobody on this machine has granted, or asks for others than before.\nRead what `trueup trust` shows and agree, or give `--trust` for one run.",
    ),
    (
        all::CREDENTIALS,
        "`credentials.yaml` cannot be used: it is not there, it is wrong, others can read it (make it 0600), or a name in it is missing.\n`trueup help credentials` shows where it lies and what stands in it; `trueup doctor` looks at it.",
    ),
    (
        all::LOCK,
        "A plugin or schema is not what `trueup.lock` pins, or is not pinned.\nIf the change is meant, update the lock and have it reviewed.",
    ),
    (
        all::PROVIDER_REMOVED,
        "A provider is gone from `trueup.yaml` while it still owns objects, which nobody could then delete.\nPut it back and remove the documents first, name its new alias with `moved-from`, or release the objects with `trueup forget`.",
    ),
    (
        all::PROVIDER_RENAMED,
        "A provider says by `moved-from` which alias it had, and what was owned under that alias goes on under the new one.\nAs a note it needs nothing: the next apply records it, and sends nothing for it. As an error, two providers claim the same alias, the old one is still there, or both own the same thing.",
    ),
    (
        all::PROVIDER_MOVED,
        "A provider's settings lead to another directory or server than before, and what it owns is at the old one. What stands at the new place may be anybody's, so nothing is planned.\nPut the old settings back; or, to go on in the new place, release what is owned with `trueup forget ALIAS:*` (it stays where it is), and take over what is declared and exists with `trueup adopt --declared`.",
    ),
    (
        all::PLUGIN_PROJECT,
        "The `plugin.yaml` of a plugin's project is missing or wrong, or its folder cannot be used as one.\n`trueup plugin new NAME --lang rust` makes a project that works; the finding names the key, and what may stand there.",
    ),
    (
        all::CLAIM,
        "The object exists and nobody here made it, so it is not touched, even where it is equal.\nTake it with `trueup adopt --declared`, or by the annotation `trueup.dev/adopt: \"true\"`; or name another object.",
    ),
    (
        all::PROTECTED,
        "The resource carries `trueup.dev/protect: \"true\"`, or carried it in the revision that was last applied, and this plan would delete or replace it.\nRemove the annotation in a commit of its own and apply that; only then make the change that deletes or replaces. Who did both in one commit takes the other change back first. `trueup forget` releases the object instead, without deleting it.",
    ),
    (
        all::DELETE_LIMIT,
        "The plan deletes more than 10 objects, or more than half of what an environment owns that owns 5 or more; or more than `--allow-deletes` gives. What a document claims for the first time (all of its scope) waits however little it is.\nIf that is meant, allow it: `--allow-deletes N` lets up to N objects go, and no more.",
    ),
    (
        all::NO_EVIDENCE,
        "An object would be deleted as it is gone from Git, and not everything was read that proves it.\nMend what could not be read, then run it again.",
    ),
    (
        all::VANISHED,
        "Everything that is owned in one place vanished at once, which is more often a wrong address, an unmounted disk or a missing right than a deletion.\nIf it is really gone, create it again with `--allow-recreate`.",
    ),
    (
        all::IN_DOUBT,
        "A change was sent and nobody knows how it ended, and nothing in the remote system tells.\nLook there, then say it: `trueup resolve RESOURCE --adopt ID` or `--absent`.",
    ),
    (
        all::RECOVERED,
        "The object is known by its mark alone, as the state was lost, or it stands where an interrupted create was to put one and is not what that was to make. It may be updated and is never deleted.\nOwn it with `trueup adopt --recovered`.",
    ),
    (
        all::OTHER_ENVIRONMENT,
        "Another environment owns the object; two owners would undo each other for ever.\nRemove it from one, or release it there with `trueup forget`.",
    ),
    (
        all::REPLACE_REFUSED,
        "The change cannot be made in place, and replacing the object is not allowed.\nTake the change back, or allow it by the annotation `trueup.dev/replace`.",
    ),
    (
        all::PLAN_MOVED,
        "The plan made now is not the one that was reviewed: documents, plugins or the world moved in between.\nReview the new plan and apply that.",
    ),
    (
        all::OBSERVE_FAILED,
        "The provider could not tell what exists. Its resources are left alone; others go on.\nThe provider's own words say why; most often it is a right, a folder or a server.",
    ),
    (
        all::STEP_FAILED,
        "The remote system or the plugin refused a change; its own words say why. What depends on it was not tried, everything else was.\nMend it and apply again: what is done is not done twice.",
    ),
    (all::STEP_SKIPPED, "The step was not tried, as one that it depends on failed.\nMend that one and apply again."),
    (all::REFUSED_BY_PLUGIN, "The plugin knows that the change cannot work; its own words say why."),
    (
        all::UNHEALTHY,
        "The change was applied and recorded, and with `--wait` its object was looked at until its time was over: its `trueup.dev/timeout`, or five minutes, or until its provider said that waiting is in vain. Applying again changes nothing.\nThe provider's own words say what the object waits for; `trueup status` tells of it later.",
    ),
    (
        all::PENDING,
        "`protect` or `prune` of a resource is not what was applied last. Only an apply arms or lifts them: until then the resource is treated as before, though nothing about its object differs.\nRun `trueup apply`: it records them, and sends nothing.",
    ),
    (
        all::RECORDING,
        "The file given to `--record` or `replay` cannot be written or read, is cut off or not the lines that were written, or would hold a secret that is too short to be told from other text or stands in a body that cannot be looked into.\nA run that could not be recorded was carried out all the same.",
    ),
    (
        all::WAIT,
        "A resource's `trueup.dev/wait-for` did not come to hold within its `trueup.dev/timeout`, or five minutes. The change itself took effect and is not made again; what depends on the resource was not begun, and waits for it again in the next apply.\nLook at what the object says of itself, mend that or the condition, or give it longer.",
    ),
    (
        all::PLUGIN_LOAD,
        "The plugin is no component of this contract, or of a version that this engine does not know.\nBuild it against the contract that `trueup version` names.",
    ),
    (
        all::PLUGIN_CALL,
        "A call into a plugin trapped, ran into a limit of memory or time, or failed. The instance is gone; the engine and other plugins are not.\nIf it repeats, tell the plugin's author; `-vv` shows what it logged.",
    ),
    (
        all::PLUGIN_CONTRACT,
        "The plugin answered what it may not: other objects than it was asked for, values outside its schema, an outcome it cannot know. Nothing of that answer was used.\nTell the plugin's author.",
    ),
    (
        all::DENIED,
        "The plugin asked for a host, folder, credential or secret that it was not granted, or tried to write during a plan.\nIf it needs it, give it in `trueup.yaml` and trust the project again.",
    ),
    (
        all::PLUGIN_BUILD,
        "A plugin's project did not become a component: a tool is missing, or failed, and its own messages stand above.\nWhere a tool is missing, the command that installs it is named. The component of an earlier build stands as it was.",
    ),
    (
        all::REGISTRY,
        "There is no registry of that name, its certificate is not trusted, it wants a login, does not have the plugin, or sent something that is not taken: other bytes than its digest says, more than a limit, something that is no single WebAssembly component, a redirect to where none may lead. Nothing was kept.\nThe message says which. A login is an entry of `credentials.yaml` with `registry: true`.",
    ),
    (
        all::UNSIGNED,
        "No trusted key signed the plugin, or the signature is broken or for something else. Nothing was kept.\nPut the author's public key into `plugin-keys/NAME.pub` in your configuration folder, from a source that you trust, or give it with `--key`. `--allow-unsigned` takes the plugin as it is; from then on the digest in `trueup.lock` is all that holds it.",
    ),
    (
        all::REGISTRY_AWAY,
        "A registry cannot be connected to, is silent, broke off, or failed by itself. Nothing was kept, and what was fetched before works without it.\nTry again later (exit code 75); where no network is, `trueup plugin bundle` elsewhere and `trueup plugin add --bundle` here.",
    ),
    (
        all::STORE,
        "The state file cannot be read or written, or is of another version.\nCheck the disk and the rights of `.trueup/`, or keep the state elsewhere with `--state FILE` (its folder must exist); `trueup doctor` looks at it.",
    ),
    (
        all::LOCKED,
        "Another run works on this environment now. The lock goes with its process, even when that is killed.\nWait for it, then try again (exit code 75).",
    ),
    (all::USAGE, "The command line makes no sense (exit code 64).\n`trueup help COMMAND` shows how it is meant."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_explanation_in_the_order_of_the_numbers() {
        let want: Vec<Code> = all::ALL.iter().map(|(code, _)| *code).collect();
        let got: Vec<Code> = TEXTS.iter().map(|(code, _)| *code).collect();
        assert_eq!(got, want);
    }
}
