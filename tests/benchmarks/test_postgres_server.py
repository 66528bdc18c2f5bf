from benchmarks.postgres_server import PostgresServer


def test_what_was_committed_outlives_a_kill_and_a_fail_over() -> None:
    with PostgresServer() as primary:
        with primary.connect() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        with primary.standby() as standby:
            primary.kill()
            primary.start()
            with primary.connect() as connection:
                assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]
            primary.kill()
            standby.promote()
            with standby.connect() as connection:
                connection.execute("INSERT INTO kept VALUES (2)")
                assert connection.execute("SELECT number FROM kept ORDER BY number").fetchall() == [(1,), (2,)]
    assert not primary.folder.exists()
    assert not standby.folder.exists()
