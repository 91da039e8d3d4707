-- Times are milliseconds since 1970-01-01 UTC. Hashes are keyed. `sealed` columns are AES-256-GCM,
-- bound to table, column and row. A person is named by a keyed hash in every table but their own.

CREATE TABLE sealed_values (
    name TEXT NOT NULL PRIMARY KEY,
    sealed {bytes} NOT NULL
){strict};

CREATE TABLE clients (
    id TEXT NOT NULL PRIMARY KEY,
    draft TEXT NOT NULL,
    created {int} NOT NULL,
    disabled {int}
){strict};

CREATE TABLE people (
    id TEXT NOT NULL PRIMARY KEY,
    username_hash {bytes} NOT NULL UNIQUE,
    role TEXT NOT NULL,
    sealed {bytes} NOT NULL,
    password TEXT,
    created {int} NOT NULL,
    disabled {int},
    password_set {int}
){strict};

CREATE TABLE sessions (
    hash {bytes} NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    sealed {bytes} NOT NULL,
    auth_time {int} NOT NULL,
    expires {int} NOT NULL
){strict};
CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE flows (
    hash {bytes} NOT NULL PRIMARY KEY,
    browser {bytes} NOT NULL,
    sealed {bytes} NOT NULL,
    expires {int} NOT NULL
){strict};
CREATE INDEX flows_expires ON flows (expires);

CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    client TEXT NOT NULL,
    person_hash {bytes} NOT NULL,
    session TEXT,
    scopes TEXT NOT NULL,
    audience TEXT NOT NULL,
    sealed {bytes} NOT NULL,
    auth_time {int} NOT NULL,
    created {int} NOT NULL,
    expires {int} NOT NULL,
    withdrawn {int}
){strict};
CREATE INDEX grants_person ON grants (person_hash);
CREATE INDEX grants_client ON grants (client);
CREATE INDEX grants_expires ON grants (expires);

CREATE TABLE codes (
    hash {bytes} NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    client TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    nonce TEXT,
    expires {int} NOT NULL,
    used {int}
){strict};
CREATE INDEX codes_grant ON codes (grant_id);
CREATE INDEX codes_unused ON codes (expires) WHERE used IS NULL;

CREATE TABLE refresh_tokens (
    hash {bytes} NOT NULL PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    client TEXT NOT NULL,
    generation {int} NOT NULL,
    issued {int} NOT NULL,
    idle_expires {int} NOT NULL,
    expires {int} NOT NULL,
    spent {int},
    UNIQUE (grant_id, generation)
){strict};
-- Whatever the program does, a grant has at most one refresh token that is not spent.
CREATE UNIQUE INDEX refresh_tokens_live ON refresh_tokens (grant_id) WHERE spent IS NULL;

CREATE TABLE assertions (
    client TEXT NOT NULL,
    jti_hash {bytes} NOT NULL,
    expires {int} NOT NULL,
    PRIMARY KEY (client, jti_hash)
){strict};
CREATE INDEX assertions_expires ON assertions (expires);

CREATE TABLE revoked_tokens (
    jti TEXT NOT NULL PRIMARY KEY,
    expires {int} NOT NULL
){strict};
CREATE INDEX revoked_tokens_expires ON revoked_tokens (expires);

CREATE TABLE attempts (
    hash {bytes} NOT NULL,
    at {int} NOT NULL,
    tries {int} NOT NULL,
    PRIMARY KEY (hash, at)
){strict};
CREATE INDEX attempts_at ON attempts (at);
