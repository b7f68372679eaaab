//! `sql`, `export`, `compact`: asks the running server, or works on the files if none runs.
//!
//! Which of the two is decided by the data directory's lock: who has it owns the files.

use std::{
    fs::File,
    io::{BufWriter, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{CommandError, ExportArgs, Format, ServerArgs};
use crate::{
    app,
    config::Config,
    lock::{self, LockError},
};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const TABLES: [&str; 5] = ["window_summaries", "anomalies", "state_changes", "part_counts", "losses"];

/// An answer, from wherever it came.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
}

impl Answer {
    pub(super) fn of(columns: &[&str], rows: Vec<Vec<Value>>) -> Self {
        Self { columns: columns.iter().map(|name| Column { name: (*name).to_owned() }).collect(), rows, truncated: false }
    }
}

pub(super) async fn sql(config: Config, statement: &str, server: &ServerArgs, format: Format) -> Result<(), CommandError> {
    let answer = ask(config, statement, server, None).await?;
    write(&answer, format, &mut std::io::stdout().lock())?;
    if answer.truncated {
        tracing::warn!(rows = answer.rows.len(), "there are more rows: the limit [sql] max_rows cut them off");
    }
    Ok(())
}

pub(super) async fn export(config: Config, args: &ExportArgs) -> Result<(), CommandError> {
    let statement = match (&args.table, &args.sql) {
        (Some(table), _) if TABLES.contains(&table.as_str()) => format!("SELECT * FROM {table}"),
        (Some(table), _) => return Err(CommandError::Usage(format!("there is no table {table:?}; there are {}", TABLES.join(", ")))),
        (None, Some(sql)) => sql.clone(),
        (None, None) => return Err(CommandError::Usage("write --table or --sql".into())),
    };
    // From the files all of it; a server keeps to its limit.
    let answer = ask(config, &statement, &args.server, Some(usize::MAX)).await?;
    match &args.output {
        None => write(&answer, args.format, &mut std::io::stdout().lock())?,
        Some(path) => {
            let file_error = |source| CommandError::File { path: path.clone(), source };
            let mut file = BufWriter::new(File::create(path).map_err(file_error)?);
            write(&answer, args.format, &mut file).map_err(file_error)?;
            file.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| file.sync_all()).map_err(file_error)?;
        }
    }
    if answer.truncated {
        return Err(CommandError::Failed(
            "the server's limit [sql] max_rows cut the export off: ask for a shorter period, or stop the server",
        ));
    }
    Ok(())
}

pub(super) async fn compact(config: &Config) -> Result<(), CommandError> {
    let _lock = take_files(config).map_err(|error| match error {
        CommandError::Lock(LockError::Taken { .. }) => CommandError::Failed("a server runs on this data, and merges small files by itself"),
        error => error,
    })?;
    let lake = lake::Lake::open(app::lake_options(config)).await?;
    lake.compact().await?;
    super::say("done")
}

/// Who answers.
pub(super) enum Whom {
    /// The files themselves, as long as this is held.
    Files(File),
    /// The running server, at this address.
    Server(String),
}

pub(super) fn whom(config: &Config, server: &ServerArgs) -> Result<Whom, CommandError> {
    if let Some(url) = &server.url {
        return Ok(Whom::Server(url.clone()));
    }
    match take_files(config) {
        Ok(lock) => Ok(Whom::Files(lock)),
        Err(error @ (CommandError::Usage(_) | CommandError::Start(_))) => Err(error),
        // Also if the files are another user's: then only the server can answer.
        Err(_) => Ok(Whom::Server(own_address(config))),
    }
}

/// Where the server of this configuration answers on this machine.
pub(super) fn own_address(config: &Config) -> String {
    let scheme = if config.api.tls.is_some() { "https" } else { "http" };
    let mut address = config.api.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("{scheme}://{address}")
}

async fn ask(config: Config, statement: &str, server: &ServerArgs, max_rows: Option<usize>) -> Result<Answer, CommandError> {
    match whom(&config, server)? {
        Whom::Files(_lock) => ask_files(config, statement, max_rows).await,
        Whom::Server(url) => ask_server(&url, &config, statement, server).await,
    }
}

/// The lock, if the files are this user's: what another user wrote among them (root above all), the server could not open any more.
fn take_files(config: &Config) -> Result<File, CommandError> {
    let owner = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.uid());
    let dir = &config.data_dir;
    let file_error = |source| CommandError::File { path: dir.clone(), source };
    let (files, own) = (owner(dir).map_err(file_error)?, owner(Path::new("/proc/self")).map_err(file_error)?);
    if !config.in_data_dir("collector.db").exists() {
        return Err(app::StartError::NotInitialised { path: dir.clone() }.into());
    }
    let lock = lock::take(dir)?;
    if files != own {
        return Err(CommandError::Usage(format!(
            "no server runs, and {} is user {files}'s: run this as that user, `sudo -u '#{files}' millrace-collector …`",
            dir.display()
        )));
    }
    Ok(lock)
}

/// Rows in the journal are seen too. The caller holds the lock.
async fn ask_files(config: Config, statement: &str, max_rows: Option<usize>) -> Result<Answer, CommandError> {
    let app = app::open_files(config, max_rows).await?;
    let result = app.lake.sql(statement).await?;
    app.store.close().await;
    let columns = result.columns.into_iter().map(|column| Column { name: column.name }).collect();
    Ok(Answer { columns, rows: result.rows, truncated: result.truncated })
}

async fn ask_server(url: &str, config: &Config, statement: &str, server: &ServerArgs) -> Result<Answer, CommandError> {
    request(url, config, server, |client, url| client.post(format!("{url}/api/v1/sql")).json(&serde_json::json!({ "sql": statement })))
        .await
}

/// What the server answers at `path`.
pub(super) async fn get<T: DeserializeOwned>(url: &str, config: &Config, path: &str, server: &ServerArgs) -> Result<T, CommandError> {
    request(url, config, server, |client, url| client.get(format!("{url}{path}"))).await
}

async fn request<T: DeserializeOwned>(
    url: &str,
    config: &Config,
    server: &ServerArgs,
    ask: impl FnOnce(&reqwest::Client, &str) -> reqwest::RequestBuilder,
) -> Result<T, CommandError> {
    let key = server.key.as_deref().ok_or_else(|| {
        CommandError::Usage("a server runs on this data and wants a key: give --key, or MILLRACE_KEY in the environment".into())
    })?;
    let url = url.trim_end_matches('/');
    let failed = |source| CommandError::Server { url: url.to_owned(), source };
    let mut client = reqwest::Client::builder()
        // The server is on this machine or named outright.
        .no_proxy()
        .connect_timeout(CONNECT_PATIENCE)
        .timeout(config.sql.timeout + CONNECT_PATIENCE);
    if url.starts_with("http://") {
        // Otherwise a system that has no certificates of authorities would be a reason to fail.
        client = client.tls_certs_only([]);
    }
    let client = client.build().map_err(failed)?;
    let response = ask(&client, url).header("x-api-key", key).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(refused(response.status(), &response.text().await.unwrap_or_default()));
    }
    response.json().await.map_err(failed)
}

/// What the server said instead of an answer: a problem's detail, or else its text.
pub(super) fn refused(status: reqwest::StatusCode, text: &str) -> CommandError {
    let detail = serde_json::from_str::<Value>(text).ok().and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
    CommandError::Refused(format!("{status}: {}", detail.unwrap_or_else(|| text.to_owned())))
}

pub(super) fn write(answer: &Answer, format: Format, out: &mut dyn Write) -> std::io::Result<()> {
    match format {
        Format::Table => write_table(answer, out),
        Format::Csv => write_csv(answer, out),
        Format::Json => write_json(answer, out),
    }?;
    out.flush()
}

fn write_table(answer: &Answer, out: &mut dyn Write) -> std::io::Result<()> {
    let cells: Vec<Vec<String>> = answer.rows.iter().map(|row| row.iter().map(plain).collect()).collect();
    let width = |index: usize, name: &str| {
        cells.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max().unwrap_or(0).max(name.chars().count())
    };
    let widths: Vec<usize> = answer.columns.iter().enumerate().map(|(index, column)| width(index, &column.name)).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end())
    };
    line(&mut answer.columns.iter().map(|column| column.name.as_str()))?;
    cells.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
}

fn write_csv(answer: &Answer, out: &mut dyn Write) -> std::io::Result<()> {
    let mut line = |cells: Vec<String>| writeln!(out, "{}\r", cells.join(","));
    line(answer.columns.iter().map(|column| csv(&column.name)).collect())?;
    answer.rows.iter().try_for_each(|row| line(row.iter().map(|value| csv(&plain(value))).collect()))
}

fn write_json(answer: &Answer, out: &mut dyn Write) -> std::io::Result<()> {
    answer.rows.iter().try_for_each(|row| {
        let object: serde_json::Map<String, Value> =
            answer.columns.iter().map(|column| column.name.clone()).zip(row.iter().cloned()).collect();
        writeln!(out, "{}", Value::Object(object))
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// RFC 4180.
fn csv(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let answer = Answer {
            columns: vec![Column { name: "asset".into() }, Column { name: "n".into() }],
            rows: vec![vec!["a,\"b\"".into(), 12.into()], vec![Value::Null, 1.5.into()]],
            truncated: false,
        };
        let mut out = Vec::new();
        write(&answer, format, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn an_answer_is_written_as_asked() {
        assert_eq!(written(Format::Table), "asset  n\na,\"b\"  12\n       1.5\n");
        assert_eq!(written(Format::Csv), "asset,n\r\n\"a,\"\"b\"\"\",12\r\n,1.5\r\n");
        assert_eq!(written(Format::Json), "{\"asset\":\"a,\\\"b\\\"\",\"n\":12}\n{\"asset\":null,\"n\":1.5}\n");
    }
}
