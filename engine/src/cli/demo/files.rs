//! The small project of the tour: two layers, seven files of documents, six files out there.

/// Path in the repository, and content.
pub const FILES: &[(&str, &str)] = &[
    (
        "trueup.yaml",
        r#"apiVersion: trueup.dev/v1
kind: Project
metadata: {name: shop, id: 00000000000000000000000000de3000}
providers:
  site: {plugin: file, config: {root: ./site}, dirs: ["./site"]}
environments:
  prod:
    layers: [base, envs/prod]
    vars: {domain: shop.example, workers: 2}
"#,
    ),
    (".gitignore", "/site/\n.trueup/\n"),
    (
        "base/motd.yaml",
        "apiVersion: site/v1\nkind: File\nmetadata: {name: motd}\nspec:\n  path: etc/motd\n  content: \"Welcome.\\n\"\n",
    ),
    (
        "base/index.yaml",
        "apiVersion: site/v1\nkind: File\nmetadata: {name: index}\nspec:\n  path: www/index.html\n  content: |\n    <h1>${{ vars.domain }}</h1>\n    <p>Made from Git, in ${{ env.name }}.</p>\n",
    ),
    (
        "base/robots.yaml",
        "apiVersion: site/v1\nkind: File\nmetadata: {name: robots}\nspec:\n  path: www/robots.txt\n  content: |\n    User-agent: *\n    Disallow: /private/\n",
    ),
    (
        "base/server.yaml",
        "apiVersion: site/v1\nkind: File\nmetadata: {name: server}\nspec:\n  path: etc/server.conf\n  content: |\n    name ${{ vars.domain }}\n    workers ${{ vars.workers }}\n    index ${{ ref('File/index').spec.path }}\n",
    ),
    (
        "base/backup.yaml",
        "apiVersion: site/v1\nkind: File\nmetadata: {name: backup}\nspec:\n  path: bin/backup\n  mode: \"0755\"\n  content: |\n    #!/bin/sh\n    exec tar -cf \"${HOME}/backup.tar\" www\n",
    ),
    (
        "base/health.yaml",
        "apiVersion: site/v1\nkind: File\nmetadata: {name: health}\nspec:\n  path: www/health\n  content: \"ok\\n\"\n",
    ),
    (
        "envs/prod/motd.yaml",
        "apiVersion: site/v1\nkind: File\nmetadata: {name: motd}\nspec:\n  content: \"Production. Be careful.\\n\"\n",
    ),
];

/// What a person breaks by hand.
pub const BROKEN: &str = "site/etc/motd";
/// What stands there when all is well.
pub const MOTD: &str = "Production. Be careful.\n";
/// What the second commit changes: the document, and the file that follows from it.
pub const CHANGED: (&str, &str) = ("base/health.yaml", "site/www/health");
/// The changed document, and what it makes.
pub const HEALTH: (&str, &str) = (
    "apiVersion: site/v1\nkind: File\nmetadata: {name: health}\nspec:\n  path: www/health\n  content: \"all is well\\n\"\n",
    "all is well\n",
);
/// Files out there after the first apply.
pub const MADE: usize = 6;
