"""Authlib, unmodified: code + PKCE, ID token, userinfo, reading labs, refresh, reading again. Prints one line of JSON."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

from walk import LABS, SCOPE, told, walk

demo, user, client = told()
# requests' own switch for a certificate authority; a session's `verify` would not reach every call.
os.environ["REQUESTS_CA_BUNDLE"] = demo["ca_file"]
metadata = requests.get(demo["issuer"] + "/.well-known/openid-configuration").json()

secret = client.get("client_secret")
session = OAuth2Session(
    client["client_id"],
    secret,
    scope=SCOPE,
    redirect_uri=client["redirect_uri"],
    code_challenge_method="S256",
    token_endpoint_auth_method="client_secret_basic" if secret else "none",
    token_endpoint=metadata["token_endpoint"],
)
verifier, nonce = generate_token(48), generate_token(20)
url, state = session.create_authorization_url(
    metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce, aud=demo["fhir_base"]
)
back = walk(url, client["redirect_uri"], user, demo["ca_file"])
token = session.fetch_token(authorization_response=back, code_verifier=verifier, state=state)

keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"]).json())
parsed = jwt.decode(token["id_token"], keys, algorithms=metadata["id_token_signing_alg_values_supported"])
claims = CodeIDToken(
    parsed.claims,
    parsed.header,
    options={"iss": {"values": [metadata["issuer"]]}, "aud": {"values": [client["client_id"]]}},
    params={"nonce": nonce, "client_id": client["client_id"], "access_token": token["access_token"]},
)
claims.validate(leeway=10)
userinfo = session.get(metadata["userinfo_endpoint"]).json()


def labs():
    """Every laboratory result, page by page."""
    ids, url, query = [], demo["fhir_base"] + "/Observation", {"category": LABS.split("category=")[1], "_count": 20}
    while url:
        answer = session.get(url, params=query)
        if answer.status_code != 200:
            raise SystemExit(f"labs: {answer.status_code} {answer.text}")
        bundle = answer.json()
        ids += [entry["resource"]["id"] for entry in bundle.get("entry", [])]
        url, query = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None), None
    return ids


first = labs()
refreshed = session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
second = labs()
print(
    json.dumps(
        {
            "scope": token["scope"],
            "scope_refreshed": refreshed["scope"],
            "patient": token["patient"],
            "patient_refreshed": refreshed["patient"],
            "sub": claims["sub"],
            "userinfo_sub": userinfo["sub"],
            "fhir_user": claims.get("fhirUser"),
            "rotated": refreshed.get("refresh_token", token["refresh_token"]) != token["refresh_token"],
            "labs": first,
            "labs_refreshed": second,
        }
    )
)
