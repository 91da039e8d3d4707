"""A person without scripts: follows an authorization URL through sign-in, patient picker and consent,
filling in plain forms, until the server redirects to the app. Also what every journey is told."""

import json
import os
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin

import requests

LABS = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
SCOPE = f"openid fhirUser offline_access launch/patient {LABS}"


def told():
    """The demo's line of JSON and who walks: PHIWARD_DEMO, PHIWARD_USER, PHIWARD_CLIENT."""
    demo = json.loads(os.environ["PHIWARD_DEMO"])
    user = next(one for one in demo["users"] if one["username"] == os.environ["PHIWARD_USER"])
    client = next(one for one in demo["clients"] if one["client_id"] == os.environ["PHIWARD_CLIENT"])
    return demo, user, client


class Forms(HTMLParser):
    """The forms of a page: dicts of action, method and controls (name, type, value, checked)."""

    def __init__(self, html):
        super().__init__()
        self.forms, self.open, self.select = [], None, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        own = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.open = {"action": own.get("action", ""), "method": own.get("method", "get").lower(), "controls": []}
            self.forms.append(self.open)
        elif tag == "select":
            self.select = own.get("name")
        elif tag in ("input", "button", "option") and self.open is not None and "disabled" not in own:
            name = self.select if tag == "option" else own.get("name")
            usual = {"input": "text", "button": "submit", "option": "option"}[tag]
            if name:
                kind = own.get("type", usual) if tag != "option" else usual
                checked = "checked" in own or "selected" in own
                self.open["controls"].append((name, kind.lower(), own.get("value", ""), checked))

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag):
        if tag == "form":
            self.open = None
        elif tag == "select":
            self.select = None


def fill(form, user):
    """The pairs to send for a form it knows, or None."""
    names = {control[0] for control in form["controls"]}
    values = [
        (name, value)
        for name, kind, value, checked in form["controls"]
        if (checked if kind in ("checkbox", "radio", "option") else kind not in ("submit", "button"))
    ]

    def put(pairs):
        return [pair for pair in values if pair[0] not in dict(pairs)] + pairs

    if "username" in names:
        return put([("username", user["username"]), ("password", user["password"])])
    if "patient" in names:
        offered = [value for name, _, value, _ in form["controls"] if name == "patient"]
        wanted = os.environ.get("PHIWARD_PATIENT")
        chosen = [value for value in offered if value.removeprefix("Patient/") == wanted] or offered
        return put([("patient", chosen[0])])
    if "decision" in names:
        return put([("decision", "approve")])
    return None


def walk(url, redirect_uri, user, verify):
    """Walks from `url` to the redirect to `redirect_uri`, which is returned and not visited."""
    browser = requests.Session()
    browser.verify = verify
    here = url
    answer = browser.get(here, allow_redirects=False)
    for _ in range(15):
        if answer.is_redirect:
            here = urljoin(here, answer.headers["location"])
            if here.split("?")[0] == redirect_uri:
                return here
            answer = browser.get(here, allow_redirects=False)
            continue
        known = [(form, values) for form in Forms(answer.text).forms if (values := fill(form, user))]
        if not known:
            raise SystemExit(f"stuck at {here} ({answer.status_code}): {answer.text}")
        form, values = known[0]
        here = urljoin(here, form["action"]) if form["action"] else here
        if form["method"] == "post":
            answer = browser.post(here, data=values, allow_redirects=False)
        else:
            answer = browser.get(here.split("?")[0] + "?" + urlencode(values), allow_redirects=False)
    raise SystemExit("no end of pages")
