-- The peers' tables: one event's seats, holds with their keys, and the second variant's claims on seats.
CREATE TABLE seats (
  event_id   text NOT NULL,
  seat_id    text NOT NULL,
  hold_id    uuid,
  user_id    text,
  held_until timestamptz,
  PRIMARY KEY (event_id, seat_id)
);
CREATE INDEX seats_by_user ON seats (event_id, user_id) WHERE user_id IS NOT NULL;

CREATE TABLE holds (
  hold_id         uuid PRIMARY KEY,
  event_id        text NOT NULL,
  user_id         text NOT NULL,
  idempotency_key text NOT NULL,
  seats           text[] NOT NULL,
  held_until      timestamptz NOT NULL,
  UNIQUE (user_id, idempotency_key)
);

CREATE TABLE seat_holds (
  event_id   text NOT NULL,
  seat_id    text NOT NULL,
  hold_id    uuid NOT NULL,
  user_id    text NOT NULL,
  held_until timestamptz NOT NULL,
  PRIMARY KEY (event_id, seat_id)
);
CREATE INDEX seat_holds_by_user ON seat_holds (event_id, user_id);
