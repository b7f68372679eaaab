//! How gateways come in, and who stays out.

use std::time::Duration;

use protocol::Ack;
use rcgen::{CertificateParams, DnType, KeyPair};
use reqwest::StatusCode;

use crate::plant::{NEVER_COMMIT, Site, csr, enroll_with, id};

#[tokio::test]
async fn a_gateway_enrolls_with_its_token_and_delivers() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    assert_eq!(gateway.send(1, 3).await.acked(), Ack::Stored);
    let rows = collector.app.store.gateways().await.expect("listed");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].gateway, id("press-gw1"));
    collector.stop().await;
}

#[tokio::test]
async fn a_token_that_was_used_or_expired_or_guessed_lets_nobody_in() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let (port, client, key) = (collector.uplink_address.port(), site.stranger(), KeyPair::generate().expect("made"));
    let token = site.token("press-gw1", Duration::from_secs(3_600)).await;
    assert_eq!(enroll_with(&client, port, &token.secret, &csr(&key)).await.0, StatusCode::OK);
    let expired = site.token("press-gw2", Duration::ZERO).await;
    for secret in [token.secret.as_str(), expired.secret.as_str(), "guess", ""] {
        let (status, problem) = enroll_with(&client, port, secret, &csr(&key)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
        assert_eq!(problem["title"], "The token does not hold");
    }
    let fresh = site.token("press-gw3", Duration::from_secs(3_600)).await;
    assert_eq!(enroll_with(&client, port, &fresh.secret, "no CSR").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(enroll_with(&client, port, &fresh.secret, &csr(&key)).await.0, StatusCode::OK, "a bad request leaves the token unused");
    collector.stop().await;
}

#[tokio::test]
async fn without_a_certificate_nothing_is_delivered() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let mut gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    gateway.client = site.stranger();
    let answer = gateway.send(1, 1).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.problem);
    collector.stop().await;
}

#[tokio::test]
async fn a_gateway_delivers_in_its_own_name_only_and_not_after_it_was_revoked() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    let mut foreign = gateway.batch(1, 1, 1);
    foreign.gateway = id("press-gw2");
    let answer = gateway.deliver(&foreign).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.problem);
    assert_eq!(gateway.send(1, 1).await.acked(), Ack::Stored);
    assert!(collector.app.store.revoke_gateway(&gateway.name, collector::clock::now()).await.expect("revoked"));
    let answer = gateway.send(2, 2).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.problem);
    assert_eq!(answer.problem["detail"], "the gateway was revoked; enroll it again with a new token");
    let back = site.gateway("press-gw1", collector.uplink_address.port()).await;
    assert_eq!(back.send(1, 1).await.acked(), Ack::Stored, "a new token lets it in again, with a stream of its own");
    assert_eq!(gateway.send(2, 2).await.status, StatusCode::FORBIDDEN, "the old certificate stays revoked");
    collector.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_in_the_handshake() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let mut gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    let key = KeyPair::generate().expect("made");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "press-gw1");
    let forged = params.self_signed(&key).expect("made").pem();
    gateway.client = site.client(Some(&format!("{forged}{}", key.serialize_pem())));
    let refused = gateway.try_post(Vec::new()).await;
    assert!(refused.is_err(), "{refused:?}");
    collector.stop().await;
}
