//! The principal of a request, by its cookie or token.

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Capability, Principal, Secret, Who, cookie, role_capabilities};
use crate::app::{App, Shared};
use crate::problem::Problem;

/// Name of the session's cookie.
pub(crate) const SESSION_COOKIE: &str = "emofleet_session";

/// Identifies the caller and adds the [`Principal`] to the request; routes decide whether they need one.
pub(crate) async fn identify(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let address = peer(&request);
    let bearer = bearer(request.headers()).map(str::to_owned);
    let session = cookie(request.headers(), SESSION_COOKIE).map(str::to_owned);
    let found = match (bearer, session) {
        // A wrong token is refused even where none is needed: the caller expects its scopes and its team.
        (Some(token), _) => match app.by_token(&token, address).await {
            Ok(None) => {
                let counted = app.rate.check_wrong_token(&address.to_string());
                return counted.err().unwrap_or_else(Problem::unauthorized).into_response();
            }
            found => found,
        },
        (None, Some(session)) => app.by_session(&session, address).await,
        (None, None) => Ok(None),
    };
    let principal = match found {
        Ok(Some(principal)) => Some(principal),
        Ok(None) if !app.settings.console.needs_login() => Some(Principal::local(address)),
        Ok(None) => None,
        Err(problem) => return problem.into_response(),
    };
    let Some(principal) = principal else { return next.run(request).await };
    request.extensions_mut().insert(principal.clone());
    let mut response = next.run(request).await;
    // For the page of an error.
    response.extensions_mut().insert(principal);
    response
}

/// The token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Where the request comes from.
fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The same as text, for limits and the audit trail.
pub(crate) fn peer_name(request: &Request) -> String {
    peer(request).to_string()
}

impl Principal {
    fn local(address: IpAddr) -> Self {
        Self { who: Who::Local, team: None, capabilities: Capability::ALL.to_vec(), address }
    }
}

impl App {
    async fn by_token(&self, token: &str, address: IpAddr) -> Result<Option<Principal>, Problem> {
        let found = self.database.token(&Secret::hash(token)).await?;
        Ok(found.map(|token| Principal {
            who: Who::Token(token.name),
            team: token.team,
            capabilities: token.scopes.iter().filter_map(|scope| Capability::from_label(scope)).collect(),
            address,
        }))
    }

    async fn by_session(&self, session: &str, address: IpAddr) -> Result<Option<Principal>, Problem> {
        let found = self.database.session(&Secret::hash(session)).await?;
        Ok(found.map(|user| Principal {
            capabilities: role_capabilities(&user.role).unwrap_or_default().to_vec(),
            who: Who::User(user.name),
            team: user.team,
            address,
        }))
    }
}
