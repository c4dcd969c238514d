-- Dead letters that are yet to be published to their topic's `-dlt`. Written in the transaction in which a letter dies.
CREATE TABLE fs_dead_letter_mirror (
    letter_id BIGINT PRIMARY KEY
);
