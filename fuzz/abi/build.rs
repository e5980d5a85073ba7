//! Writes a call for every function of clusterkit.h: what to give for each of its parameters, by their types and names, and what to
//! look at afterwards. A function with a parameter that nobody knows here fails the build.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The group of functions that a file of ck-ffi's belongs to: each has a fuzz target.
const GROUPS: [(&str, &[&str]); 9] = [
    ("client", &["client.rs", "client_calls.rs", "client_options.rs"]),
    ("data", &["data.rs"]),
    ("events", &["event.rs", "events.rs", "hook.rs", "log.rs"]),
    ("lookup", &["cluster.rs", "lookup.rs"]),
    (
        "manage",
        &["leadership.rs", "manage.rs", "rebalance.rs", "status.rs"],
    ),
    ("options", &["options.rs", "option_table.rs"]),
    (
        "testing",
        &[
            "test_cluster.rs",
            "test_cluster_faults.rs",
            "test_cluster_options.rs",
            "test_cluster_waits.rs",
        ],
    ),
    ("values", &["error.rs", "values.rs", "version.rs"]),
    ("view", &["view.rs", "view_keys.rs", "view_partitions.rs"]),
];

/// What frees a handle. It is the last call with it.
const CONSUMERS: [&str; 22] = [
    "ck_client_free",
    "ck_client_options_free",
    "ck_client_status_free",
    "ck_cluster_free",
    "ck_completion_end",
    "ck_consensus_stats_free",
    "ck_data_free",
    "ck_error_free",
    "ck_events_close",
    "ck_health_status_free",
    "ck_hook_stats_free",
    "ck_leader_info_free",
    "ck_metrics_free",
    "ck_node_health_free",
    "ck_numbers_free",
    "ck_options_free",
    "ck_rebalance_status_free",
    "ck_strings_free",
    "ck_testing_free",
    "ck_text_free",
    "ck_testing_options_free",
    "ck_view_release",
];

/// What would end a handle that later inputs use, or takes seconds. It gets handles of this input only.
const ENDS: [&str; 9] = [
    "ck_cluster_start",
    "ck_cluster_start_async",
    "ck_cluster_stop",
    "ck_cluster_stop_async",
    "ck_cluster_leave",
    "ck_cluster_leave_async",
    "ck_client_close",
    "ck_testing_close",
    "ck_testing_free",
];

/// What waits for seconds of real time, whatever the timeout, where the nodes of a test cluster are not well.
const SLOW: [&str; 4] = [
    "ck_testing_wait_for_leader",
    "ck_testing_wait_for_primaries",
    "ck_testing_wait_settled",
    "ck_testing_start",
];

struct Parameter {
    kind: String,
    name: String,
}

struct Function {
    answer: String,
    name: String,
    parameters: Vec<Parameter>,
}

fn without_comments(header: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//") && !line.starts_with('#');
    header.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// `const char *name` as its type and its name.
fn parameter(text: &str) -> Outcome<Parameter> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let start = text
        .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .ok_or_else(|| format!("{text} has no name"))?;
    Ok(Parameter {
        kind: text[..=start].trim().to_owned(),
        name: text[start + 1..].to_owned(),
    })
}

fn functions(header: &str) -> Outcome<Vec<Function>> {
    let code = without_comments(header);
    let mut functions = Vec::new();
    for text in code.split("CK_API ").skip(1) {
        let (declaration, _) = text.split_once(");").ok_or("a function without an end")?;
        let (head, parameters) = declaration
            .split_once('(')
            .ok_or("a function without parameters")?;
        let head = parameter(head.trim_start_matches("CK_NODISCARD "))?;
        let parameters = match parameters.trim() {
            "void" => Vec::new(),
            given => given.split(',').map(parameter).collect::<Outcome<_>>()?,
        };
        functions.push(Function {
            answer: head.kind,
            name: head.name,
            parameters,
        });
    }
    Ok(functions)
}

/// The name of the struct in `const struct ck_view_t *`, and how many pointers lead to it.
fn record(kind: &str) -> Option<(&str, usize)> {
    let rest = kind
        .strip_prefix("const ")
        .unwrap_or(kind)
        .strip_prefix("struct ")?;
    let (name, pointers) = rest.split_once(' ')?;
    Some((name, pointers.matches('*').count()))
}

/// The type in Rust. What a pointer points to does not matter.
fn rust_type(kind: &str) -> Outcome<&'static str> {
    Ok(match kind {
        "void" => "()",
        "bool" => "bool",
        "int" | "int32_t" => "i32",
        "uint32_t" => "u32",
        "uint64_t" => "u64",
        "size_t" => "usize",
        pointer if pointer.ends_with('*') || pointer.ends_with("_fn") => "*mut c_void",
        other => return Err(format!("{other} is a type that nobody knows here").into()),
    })
}

/// The expression that gives a parameter, and the statement that looks at it afterwards.
fn given(function: &Function, index: usize) -> Outcome<(String, String)> {
    let Parameter { kind, name } = &function.parameters[index];
    let before = |name: &str| index > 0 && function.parameters[index - 1].name == name;
    let nothing = String::new;
    let own = ENDS.contains(&&*function.name);
    if let Some((record, pointers)) = record(kind) {
        return Ok(match (record, pointers) {
            ("ck_bytes_t", 1) => ("p.keys()".into(), nothing()),
            ("ck_key_route_t", 1) => ("p.room()".into(), nothing()),
            ("ck_node_t", 2) => ("p.node_room()".into(), nothing()),
            ("ck_view_t", 2) if name == "view" => {
                ("p.place(\"ck_view_t\")".into(), "p.placed(\"ck_view_t\");".into())
            }
            ("ck_event_t", 2) => ("p.out()".into(), format!("p.took_event(a{index}, a0, failed);")),
            (record, 2) => (
                "p.out()".into(),
                format!("p.took(\"{record}\", a{index}, failed);"),
            ),
            ("ck_event_t", 1) if function.name == "ck_events_ack" => ("p.event_of(a0)".into(), nothing()),
            (record, 1) if CONSUMERS.contains(&&*function.name) && index == 0 => {
                (format!("p.last_use(\"{record}\", {own})"), nothing())
            }
            (record, 1) => (format!("p.handle(\"{record}\", {own})"), nothing()),
            _ => return Err(format!("{}: {kind} {name}", function.name).into()),
        });
    }
    let looked_at = format!("p.written(a{index}, failed);");
    Ok(match (&**kind, &**name) {
        ("const size_t *", "indexes") => ("p.indexes()".into(), nothing()),
        ("const char *" | "const void *", _) => ("p.bytes()".into(), nothing()),
        ("size_t", name) if name.ends_with("_len") => ("p.len()".into(), nothing()),
        ("size_t", "count") => ("p.count()".into(), nothing()),
        ("size_t", "size" | "out_size" | "capacity") => ("p.room_len()".into(), nothing()),
        ("uint32_t *", "out") if before("count") || before("partition_count") => {
            ("p.numbers()".into(), nothing())
        }
        ("char *", "buffer") => ("p.room()".into(), nothing()),
        ("uint32_t", "timeout_ms" | "cooldown_ms" | "delay_ms" | "time_ms") => {
            ("p.short()".into(), nothing())
        }
        ("size_t", _) => ("p.index()".into(), nothing()),
        ("uint32_t", _) => ("p.small()".into(), nothing()),
        ("int32_t", _) => ("p.small() as i32".into(), nothing()),
        ("uint64_t", _) => ("p.long()".into(), nothing()),
        ("bool", _) => ("p.bool()".into(), nothing()),
        ("uint64_t *" | "size_t *" | "uint32_t *" | "bool *", _) => ("p.out()".into(), looked_at),
        ("void *", "user_data") => ("p.user_data()".into(), nothing()),
        ("ck_done_fn", _) => ("p.done()".into(), nothing()),
        ("ck_hook_fn", _) => ("p.hook()".into(), nothing()),
        ("ck_log_fn", _) => ("p.log()".into(), nothing()),
        ("ck_change_fn", _) => ("p.change()".into(), nothing()),
        ("ck_testing_configure_fn" | "ck_testing_prepare_fn", _) => ("p.prepare()".into(), nothing()),
        ("ck_testing_condition_fn", _) => ("p.condition()".into(), nothing()),
        ("ck_destroy_fn", _) => ("p.destroy()".into(), nothing()),
        (kind, name) => {
            return Err(format!(
                "{}: {kind} {name} is a parameter that nobody knows here",
                function.name
            )
            .into());
        }
    })
}

fn answered(function: &Function) -> Outcome<String> {
    let len = function
        .parameters
        .iter()
        .position(|it| it.name == "out_len" || it.name == "out_count");
    Ok(match (&*function.answer, len) {
        ("struct ck_error_t *", _) => "p.failed(answer);".into(),
        ("const char *" | "const void *", Some(len)) => format!("p.read(answer, a{len}, 1);"),
        ("const uint32_t *", Some(len)) => format!("p.read(answer, a{len}, 4);"),
        ("const char *", None) => "p.text(answer);".into(),
        ("const struct ck_node_t *", _) => "p.node(answer);".into(),
        (kind, _) => match record(kind) {
            Some((record, 1)) if !kind.starts_with("const") => format!("p.keep(\"{record}\", answer);"),
            _ => "let _ = answer;".into(),
        },
    })
}

fn write_call(out: &mut String, function: &Function, group: &str) -> Outcome<()> {
    let Function {
        answer,
        name,
        parameters,
    } = function;
    let types: Vec<_> = parameters
        .iter()
        .map(|it| rust_type(&it.kind))
        .collect::<Outcome<_>>()?;
    let mut body = String::new();
    let mut looks = String::new();
    for index in 0..parameters.len() {
        let (value, look) = given(function, index)?;
        writeln!(body, "        let a{index} = {value};")?;
        if !look.is_empty() {
            writeln!(looks, "        {look}")?;
        }
    }
    let names: Vec<_> = (0..parameters.len()).map(|index| format!("a{index}")).collect();
    let is_fallible = answer == "struct ck_error_t *";
    writeln!(
        out,
        "    Call {{ name: \"{name}\", group: \"{group}\", is_slow: {}, takes_destroy: {}, run: |p| {{",
        SLOW.contains(&&**name),
        parameters.iter().any(|it| it.kind == "ck_destroy_fn")
    )?;
    writeln!(
        out,
        "        unsafe extern \"C\" {{ fn {name}({}) -> {}; }}",
        types
            .iter()
            .map(|kind| format!("_: {kind}"))
            .collect::<Vec<_>>()
            .join(", "),
        rust_type(answer)?
    )?;
    out.push_str(&body);
    writeln!(
        out,
        "        // SAFETY: each argument is what the header allows for it."
    )?;
    writeln!(
        out,
        "        let answer = unsafe {{ {name}({}) }};",
        names.join(", ")
    )?;
    if looks.contains("failed") {
        writeln!(
            out,
            "        let failed = {};",
            if is_fallible { "!answer.is_null()" } else { "false" }
        )?;
    }
    out.push_str(&looks);
    writeln!(out, "        {}", answered(function)?)?;
    writeln!(
        out,
        "        p.called({});",
        if is_fallible { "!answer.is_null()" } else { "false" }
    )?;
    writeln!(out, "    }} }},")?;
    Ok(())
}

fn main() -> Outcome<()> {
    let root = Path::new("../..");
    let header = root.join("include/clusterkit.h");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", header.display());
    let mut sources = Vec::new();
    for (group, files) in GROUPS {
        for file in files {
            let path = root.join("ck-ffi/src").join(file);
            println!("cargo:rerun-if-changed={}", path.display());
            sources.push((group, fs::read_to_string(path)?));
        }
    }
    let mut out = "/// Every function of the header.\npub(crate) const CALLS: &[Call] = &[\n".to_owned();
    for function in functions(&fs::read_to_string(header)?)? {
        let defined = format!("fn {}(", function.name);
        let (group, _) = sources
            .iter()
            .find(|(_, source)| source.contains(&defined))
            .ok_or_else(|| format!("{} belongs to no group", function.name))?;
        write_call(&mut out, &function, group)?;
    }
    out.push_str("];\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("calls.rs"), out)?;
    Ok(())
}
