//! The example `irc`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/irc.rs"]
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
    does_what_it_shows_in_any_pieces("irc.rs", || irc::server(builder()));
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
    for code in ["005", "422"] {
        client.expect_like(format!(":irc.example {code} {nick} *")).await;
    }
    client
}

/// Has a user join `channel`, in which `nicks` are then.
async fn join(client: &mut Client, channel: &str, nick: &str, nicks: &[&str]) {
    client.send(format!("JOIN {channel}"));
    client.expect(format!(":{nick}!{nick}@user.example JOIN {channel}")).await;
    for member in nicks {
        client.expect(format!(":irc.example 353 {nick} = {channel} :{member}")).await;
    }
    client.expect(format!(":irc.example 366 {nick} {channel} :End of names")).await;
}

#[tokio::test(start_paused = true)]
async fn members_of_a_channel_hear_one_another_and_other_users_do_not() {
    let stage = stage();
    let (mut ann, mut bob) = (user(&stage, "ann").await, user(&stage, "bob").await);
    let mut eve = user(&stage, "eve").await;
    join(&mut ann, "#here", "ann", &["ann"]).await;
    join(&mut bob, "#here", "bob", &["ann", "bob"]).await;
    ann.expect(":bob!bob@user.example JOIN #here").await;
    ann.send("@tag=1 :eve!x@y PRIVMSG #HERE :hello all");
    bob.expect(":ann!ann@user.example PRIVMSG #HERE :hello all").await;
    bob.send("NOTICE Ann psst");
    ann.expect(":bob!bob@user.example NOTICE Ann :psst").await;
    eve.send("PRIVMSG #here :let me in");
    eve.expect(":irc.example 401 eve #here :No such name").await;
    eve.send_raw("NOTICE #here :let me in\r\nNOTICE nobody :hi\r\nPING x\r\n");
    eve.expect(":irc.example PONG irc.example :x").await;
    ann.send("PART #Here");
    ann.expect(":ann!ann@user.example PART #Here").await;
    bob.expect(":ann!ann@user.example PART #Here").await;
    ann.send("PART #here");
    ann.expect(":irc.example 442 ann #here :You are not in it").await;
    bob.send_raw("JOIN #here\r\nPRIVMSG #here :still here?\r\n");
    ann.expect_nothing(SECOND).await;
    eve.expect_nothing(SECOND).await;
    assert_eq!(stage.metric("towline_group_members"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_quit_is_heard_once_by_each_who_shares_a_channel_and_frees_the_nick() {
    let stage = stage();
    let (mut ann, mut bob) = (user(&stage, "ann").await, user(&stage, "bob").await);
    for channel in ["#a", "#b"] {
        join(&mut ann, channel, "ann", &["ann"]).await;
        join(&mut bob, channel, "bob", &["ann", "bob"]).await;
        ann.expect(format!(":bob!bob@user.example JOIN {channel}")).await;
    }
    let mut other = stage.connect().await;
    other.send("NICK Ann");
    other.expect(":irc.example 433 * Ann :Nickname is in use").await;
    ann.send("NICK anna");
    ann.expect(":irc.example 433 ann anna :Nickname is in use").await;
    ann.send("QUIT :so long");
    ann.expect("ERROR :Bye").await;
    assert_eq!(ann.is_closed().await, CloseReason::ServiceClose);
    bob.expect(":ann!ann@user.example QUIT :so long").await;
    bob.expect_nothing(SECOND).await;
    let mut ann = user(&stage, "Ann").await;
    join(&mut ann, "#a", "Ann", &["Ann", "bob"]).await;
    bob.expect(":Ann!Ann@user.example JOIN #a").await;
    ann.reset();
    bob.expect(":Ann!Ann@user.example QUIT :peer_reset").await;
    bob.reset();
    stage.advance(SECOND).await;
    assert_eq!(stage.metric("towline_groups"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_registered_once_and_asked_whether_it_is_there() {
    let stage = stage();
    let mut ann = stage.connect().await;
    ann.send_raw("CAP LS 302\r\nUSER ann 0 * :Ann\r\nUSER ann 0 * :Ann\r\nJOIN #here\r\n");
    ann.expect(":irc.example 451 * :You have not registered").await;
    ann.send_raw("CAP END\r\nNICK 1,2\r\nNICK #ann\r\nNICK ann\r\nUSER ann 0 * :Ann\r\n");
    ann.expect(":irc.example 432 * 1,2 :Erroneous nickname").await;
    ann.expect(":irc.example 432 * #ann :Erroneous nickname").await;
    ann.expect(":irc.example 001 ann :Welcome, ann!ann@user.example").await;
    for code in ["005", "422"] {
        ann.expect_like(format!(":irc.example {code} ann *")).await;
    }
    ann.send_raw("DANCE\r\nJOIN\r\nJOIN here\r\nJOIN :#a b\r\n");
    ann.expect(":irc.example 421 ann DANCE :Unknown command").await;
    ann.expect(":irc.example 461 * :Not enough parameters").await;
    ann.expect(":irc.example 403 ann here :No such channel").await;
    ann.expect(":irc.example 403 ann #a b :No such channel").await;
    stage.advance(Duration::from_secs(90)).await;
    ann.expect("PING :irc.example").await;
    ann.send("PONG :irc.example");
    let (outcome, ()) = tokio::join!(stage.drain(), ann.expect("ERROR :Going down"));
    assert_eq!(outcome, Outcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_line_for_others_is_cut_to_what_a_client_may_expect() {
    let stage = stage();
    let (mut ann, mut bob) = (user(&stage, "ann").await, user(&stage, "bob").await);
    ann.send(format!("PRIVMSG bob :{}\r{}", "x".repeat(480), "y".repeat(10)));
    let begins = ":ann!ann@user.example PRIVMSG bob :";
    bob.expect(format!("{begins}{}", "x".repeat(510 - begins.len()))).await;
}
