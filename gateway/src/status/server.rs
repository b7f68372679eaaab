//! The status page's HTTP server: reads the board, changes nothing.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Board, metrics, page};

/// Why there is no status page.
#[derive(Debug, thiserror::Error)]
#[error("the status page cannot listen on {listen}")]
pub struct ServeError {
    listen: SocketAddr,
    source: io::Error,
}

/// Starts the server; returns where it listens.
///
/// # Errors
/// [`ServeError`]: the address is taken.
pub async fn serve(listen: SocketAddr, board: Arc<Board>, end: CancellationToken) -> Result<SocketAddr, ServeError> {
    let failed = |source| ServeError { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = Router::new()
        .route("/", get(|State(board): State<Arc<Board>>| async move { Html(page::html(&board.view())) }))
        .route("/health", get(health))
        .route("/status", get(|State(board): State<Arc<Board>>| async move { Json(board.view()) }))
        .route("/metrics", get(expose))
        .with_state(board);
    tokio::spawn(async move {
        let ended = axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await;
        if let Err(error) = ended {
            tracing::error!(%error, "the status page ended");
        }
    });
    Ok(address)
}

async fn health(State(board): State<Arc<Board>>) -> Response {
    let view = board.view();
    let code = if view.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "healthy": view.healthy, "problems": view.problems, "warnings": view.warnings, "gateway": view.gateway, "version": view.version });
    (code, Json(body)).into_response()
}

async fn expose(State(board): State<Arc<Board>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::text(&board.view())).into_response()
}
