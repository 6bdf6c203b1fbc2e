//! The example `irc`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/irc/main.rs"]
mod irc;

mod support;

use std::time::Duration;

use support::shown::does_what_it_shows_in_any_pieces;
use towline::{
    CloseReason, Outcome, Server,
    test::{self, Client, Stage},
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn irc_does_what_its_documentation_shows_however_its_input_is_cut() {
    let builder = || Server::builder().threads(1).raise_descriptor_limit(true);
    does_what_it_shows_in_any_pieces("irc/main.rs", || irc::server(builder()));
}

fn stage() -> Stage {
    test::stage(irc::server(Server::builder()))
}

/// A user of that nick, who is registered.
async fn user(stage: &Stage, nick: &str) -> Client {
    let mut client = stage.connect().await;
    client.send(format!("NICK {nick}"));
    client.send(format!("USER {nick} 0 * :a name"));
    client.expect(format!(":irc.example 001 {nick} :Welcome, {nick}!{nick}@user.example")).await;
    for code in ["004", "005", "422"] {
        client.expect_like(format!(":irc.example {code} {nick} *")).await;
    }
    client
}

/// Has a user join `#here`, in which `nicks` are then, in the order in which they connected.
async fn join(client: &mut Client, nick: &str, nicks: &str) {
    client.send("JOIN #here");
    client.expect(format!(":{nick}!{nick}@user.example JOIN #here")).await;
    client.expect(format!(":irc.example 353 {nick} = #here :{nicks}")).await;
    client.expect(format!(":irc.example 366 {nick} #here :End of names")).await;
}

#[tokio::test(start_paused = true)]
async fn members_of_a_channel_hear_one_another_and_other_users_do_not() {
    let stage = stage();
    let (mut ann, mut bob) = (user(&stage, "ann").await, user(&stage, "bob").await);
    let mut eve = user(&stage, "eve").await;
    join(&mut ann, "ann", "ann").await;
    join(&mut bob, "bob", "ann bob").await;
    ann.expect(":bob!bob@user.example JOIN #here").await;
    ann.send("@tag=1 :eve!x@y PRIVMSG #HERE :hello all");
    bob.expect(":ann!ann@user.example PRIVMSG #HERE :hello all").await;
    bob.send("NOTICE Ann psst");
    ann.expect(":bob!bob@user.example NOTICE Ann :psst").await;
    eve.send("PRIVMSG #here :let me in");
    eve.expect(":irc.example 404 eve #here :Cannot send to channel").await;
    eve.send_raw("NOTICE #here :let me in\r\nNOTICE nobody :hi\r\nPING x\r\n");
    eve.expect(":irc.example PONG irc.example :x").await;
    bob.send("TOPIC #here :of the day");
    bob.expect(":bob!bob@user.example TOPIC #here :of the day").await;
    ann.expect(":bob!bob@user.example TOPIC #here :of the day").await;
    ann.send("TOPIC #here");
    ann.expect(":irc.example 332 ann #here :of the day").await;
    ann.send("PART #here :bye");
    ann.expect(":ann!ann@user.example PART #here :bye").await;
    bob.expect(":ann!ann@user.example PART #here :bye").await;
    ann.send("PART #here");
    ann.expect(":irc.example 442 ann #here :You are not on that channel").await;
    ann.expect_nothing(SECOND).await;
    eve.expect_nothing(SECOND).await;
    assert_eq!(stage.metric("towline_group_members"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_quit_and_a_new_nick_are_heard_once_by_each_who_shares_a_channel() {
    let stage = stage();
    let (mut ann, mut bob) = (user(&stage, "ann").await, user(&stage, "bob").await);
    for client in [&mut ann, &mut bob] {
        client.send("JOIN #a,#b,c");
    }
    for _ in 0..2 * 3 + 1 {
        ann.expect_like(":*").await;
        bob.expect_like(":*").await;
    }
    ann.expect(":bob!bob@user.example JOIN #a").await;
    ann.expect(":bob!bob@user.example JOIN #b").await;
    ann.send("NICK bob");
    ann.expect(":irc.example 433 ann bob :Nickname is already in use").await;
    ann.send("NICK Anna");
    ann.expect(":ann!ann@user.example NICK Anna").await;
    bob.expect(":ann!ann@user.example NICK Anna").await;
    bob.send("PRIVMSG anna :hi");
    ann.expect(":bob!bob@user.example PRIVMSG anna :hi").await;
    ann.send("QUIT :so long");
    ann.expect("ERROR :Bye").await;
    assert_eq!(ann.is_closed().await, CloseReason::ServiceClose);
    bob.expect(":Anna!ann@user.example QUIT :so long").await;
    bob.expect_nothing(SECOND).await;
    // The name is free again.
    let mut anna = user(&stage, "anna").await;
    anna.send("JOIN #a");
    bob.expect(":anna!anna@user.example JOIN #a").await;
    anna.reset();
    bob.expect(":anna!anna@user.example QUIT :peer_reset").await;
    bob.reset();
    stage.advance(SECOND).await;
    assert_eq!(stage.metric("towline_groups"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_negotiates_is_registered_behind_that_and_one_that_says_nothing_is_closed() {
    let stage = stage();
    let mut ann = stage.connect().await;
    ann.send_raw("CAP LS 302\r\nNICK ann\r\nUSER ann 0 * :Ann\r\nCAP REQ :sasl multi-prefix\r\n");
    ann.expect(":irc.example CAP * LS :").await;
    ann.expect(":irc.example CAP * NAK :sasl multi-prefix").await;
    ann.send("JOIN #here");
    ann.expect(":irc.example 451 * :You have not registered").await;
    ann.send("CAP END");
    ann.expect_like(":irc.example 001 ann *").await;
    for _ in 0..3 {
        ann.expect_like(":*").await;
    }
    ann.send_raw("NICK 1,2\r\nDANCE\r\nJOIN\r\nMODE #here b\r\n");
    ann.expect(":irc.example 432 ann 1,2 :Erroneous nickname").await;
    ann.expect(":irc.example 421 ann DANCE :Unknown command").await;
    ann.expect(":irc.example 461 * :Not enough parameters").await;
    ann.expect(":irc.example 368 ann #here :End of bans").await;
    let mut silent = stage.connect().await;
    silent.send("NICK silent");
    stage.advance(Duration::from_secs(59)).await;
    silent.expect("ERROR :Registration timed out").await;
    stage.advance(Duration::from_secs(25)).await;
    // A registered one is asked whether it is still there.
    ann.expect("PING :irc.example").await;
    ann.send("PONG :irc.example");
    let (outcome, ()) = tokio::join!(stage.drain(), ann.expect("ERROR :Going down"));
    assert_eq!(outcome, Outcome::Clean);
}
