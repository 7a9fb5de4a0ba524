//! The classic failures of matching engines, each by name, and the rules that no other test shows.

use self::generate::Generator;
use super::*;

#[path = "tests/generate.rs"]
mod generate;

/// Applies commands and writes each execution as a line: `kind id[/counter] price size left reason`.
fn play(exchange: &mut Exchange, commands: &[Command]) -> Vec<String> {
    let mut lines = Vec::new();
    let number = |value: i64| if value == Command::UNSET { "-".to_owned() } else { value.to_string() };
    for command in commands {
        exchange.apply(command, |e| {
            let counter = if e.counter_id == 0 { String::new() } else { format!("/{}", e.counter_id) };
            let why = match (e.kind, e.reason) {
                (ExecutionKind::State, _) => format!(" {}", e.state.name()),
                (_, Reason::None) => String::new(),
                (_, reason) => format!(" {}", reason.name()),
            };
            let (price, size, left) = (number(e.price.0), number(e.size.0), number(e.remaining.0));
            lines.push(format!("{} {}{counter} {price} {size} {left}{why}", e.kind.name(), e.order_id));
        });
    }
    lines
}

fn exchange(rules: Rules) -> Exchange {
    Exchange::new(rules).expect("rules")
}

fn plain() -> Exchange {
    exchange(Rules::default())
}

fn buy(id: u64, price: i64, size: i64) -> Command {
    Command::limit(id, Side::Bid, Price(price), Size(size)).by(1)
}

fn sell(id: u64, price: i64, size: i64) -> Command {
    Command::limit(id, Side::Ask, Price(price), Size(size)).by(2)
}

fn market(id: u64, side: Side, size: i64) -> Command {
    Command::market(id, side, Size(size)).by(3)
}

fn ids(exchange: &Exchange, side: Side) -> Vec<u64> {
    exchange.orders().iter().filter(|order| order.side == side && order.rests).map(|order| order.id).collect()
}

/// What happens without the entries of orders.
fn events(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).filter(|line| !line.starts_with("accepted")).collect()
}

#[test]
fn a_trade_is_at_the_resting_order_s_price() {
    let lines = play(&mut plain(), &[sell(1, 100, 5), buy(2, 105, 5)]);
    assert_eq!(events(&lines), ["trade 2/1 100 5 0"]);
    let lines = play(&mut plain(), &[buy(1, 100, 5), sell(2, 95, 5)]);
    assert_eq!(events(&lines), ["trade 2/1 100 5 0"]);
}

#[test]
fn a_partly_filled_order_keeps_its_place() {
    let mut exchange = plain();
    let lines = play(&mut exchange, &[sell(1, 100, 5), sell(2, 100, 5), buy(3, 100, 2), buy(4, 100, 4)]);
    assert_eq!(events(&lines), ["trade 3/1 100 2 0", "trade 4/1 100 3 1", "trade 4/2 100 1 0"]);
}

#[test]
fn a_filled_order_is_no_longer_known() {
    let mut exchange = plain();
    play(&mut exchange, &[sell(1, 100, 5), buy(2, 100, 5)]);
    assert!(exchange.is_empty());
    let lines = play(&mut exchange, &[Command::cancel(1), Command::modify(2, Price(100), Size(1))]);
    assert_eq!(lines, ["rejected 1 - - - unknown_order", "rejected 2 - - - unknown_order"]);
}

#[test]
fn the_quote_moves_when_its_level_empties() {
    let mut exchange = plain();
    play(&mut exchange, &[sell(1, 100, 5), sell(2, 102, 7), buy(3, 98, 1), buy(4, 99, 2)]);
    play(&mut exchange, &[buy(5, 100, 5), Command::cancel(4)]);
    let quote = exchange.quote();
    assert_eq!((quote.ask, quote.ask_size, quote.bid, quote.bid_size), (Price(102), Size(7), Price(98), Size(1)));
}

#[test]
fn the_rest_of_an_immediate_order_does_not_rest() {
    let mut exchange = plain();
    let ioc = Command { time_in_force: TimeInForce::Ioc, ..buy(2, 101, 9) };
    let lines = play(&mut exchange, &[sell(1, 100, 5), ioc]);
    assert_eq!(events(&lines), ["trade 2/1 100 5 4", "cancelled 2 101 4 0 ioc"]);
    assert!(exchange.is_empty());
}

#[test]
fn a_fill_or_kill_looks_at_all_levels_within_its_limit() {
    let mut exchange = plain();
    let fok = |id, price, size| Command { time_in_force: TimeInForce::Fok, ..buy(id, price, size) };
    let book = [sell(1, 100, 5), sell(2, 101, 5), sell(3, 102, 5)];
    play(&mut exchange, &book);
    let lines = play(&mut exchange, &[fok(4, 101, 11), fok(5, 101, 10)]);
    assert_eq!(events(&lines), ["cancelled 4 101 11 0 fok", "trade 5/1 100 5 5", "trade 5/2 101 5 0"]);
}

#[test]
fn a_modification_that_crosses_trades() {
    for modify in [Command::modify, Command::replace] {
        let mut exchange = plain();
        let lines = play(&mut exchange, &[sell(1, 102, 5), buy(2, 100, 7), modify(2, Price(103), Size(8))]);
        assert_eq!(events(&lines), ["modified 2 103 8 8", "trade 2/1 102 5 3"]);
        assert_eq!(exchange.quote().bid, Price(103));
    }
}

#[test]
fn the_neighbours_of_a_modified_order_stay() {
    let mut exchange = plain();
    play(&mut exchange, &[buy(1, 100, 1), buy(2, 100, 1), buy(3, 100, 1)]);
    play(&mut exchange, &[Command::modify(2, Price(99), Size(1))]);
    assert_eq!(ids(&exchange, Side::Bid), [1, 3, 2]);
    play(&mut exchange, &[Command::replace(1, Price(100), Size(1))]);
    assert_eq!(ids(&exchange, Side::Bid), [3, 1, 2]);
}

#[test]
fn a_limit_order_stops_at_its_limit() {
    let mut exchange = plain();
    let lines = play(&mut exchange, &[sell(1, 100, 5), sell(2, 101, 5), buy(3, 100, 9)]);
    assert_eq!(events(&lines), ["trade 3/1 100 5 4"]);
    let quote = exchange.quote();
    assert_eq!((quote.bid, quote.bid_size, quote.ask), (Price(100), Size(4), Price(101)));
}

#[test]
fn an_id_is_free_again_when_its_order_is_gone_and_not_before() {
    let mut exchange = plain();
    let lines = play(&mut exchange, &[buy(1, 100, 5), buy(1, 99, 5)]);
    assert_eq!(lines[1], "rejected 1 - - - duplicate_id");
    let lines = play(&mut exchange, &[sell(2, 100, 5), sell(1, 103, 4)]);
    assert_eq!(events(&lines), ["trade 2/1 100 5 0"]);
    assert_eq!(exchange.order(1).map(|order| (order.side, order.price)), Some((Side::Ask, Price(103))));
    let lines = play(&mut exchange, &[Command::cancel(1)]);
    assert_eq!(lines, ["cancelled 1 103 4 0 requested"]);
}

#[test]
fn removals_leave_the_order_of_the_queue() {
    let mut exchange = plain();
    play(&mut exchange, &(1..=6).map(|id| buy(id, 100, 1)).collect::<Vec<_>>());
    play(&mut exchange, &[Command::cancel(1), Command::cancel(4), Command::cancel(6)]);
    assert_eq!(ids(&exchange, Side::Bid), [2, 3, 5]);
    play(&mut exchange, &[buy(7, 100, 1), sell(8, 100, 1)]);
    assert_eq!(ids(&exchange, Side::Bid), [3, 5, 7]);
}

#[test]
fn a_hundred_thousand_orders_at_as_many_prices_are_all_kept() {
    let mut exchange = plain();
    // Far beyond the window of a ladder, and more than any first size of a table.
    for id in 1..=100_000 {
        exchange.apply(&buy(id, i64::try_from(id).expect("small") * 1_000, 1), |_| {});
    }
    assert_eq!(exchange.len(), 100_000);
    assert_eq!(exchange.quote().bid, Price(100_000_000));
    let mut traded = 0;
    exchange.apply(&sell(200_000, 1, 1_000_000), |e| traded += i64::from(e.kind == ExecutionKind::Trade));
    assert_eq!(traded, 100_000);
}

#[test]
fn an_iceberg_never_trades_more_than_its_size() {
    let mut exchange = plain();
    let iceberg = Command { display: Size(3), ..sell(1, 100, 8) };
    let lines = play(&mut exchange, &[iceberg, sell(2, 100, 2), market(3, Side::Bid, 20)]);
    assert_eq!(
        events(&lines),
        [
            "trade 3/1 100 3 17",
            "replenished 1 100 3 5",
            "trade 3/2 100 2 15",
            "trade 3/1 100 3 12",
            "replenished 1 100 2 2",
            "trade 3/1 100 2 10",
            "cancelled 3 - 10 0 no_liquidity",
        ]
    );
    assert!(exchange.is_empty());
}

#[test]
fn an_iceberg_shows_its_slice_and_a_hidden_order_nothing() {
    let mut exchange = plain();
    let iceberg = Command { display: Size(3), ..sell(1, 100, 8) };
    let hidden = Command { display: Size(0), ..sell(2, 99, 5) };
    play(&mut exchange, &[iceberg, hidden]);
    let quote = exchange.quote();
    assert_eq!((quote.ask, quote.ask_size), (Price(100), Size(3)));
    let lines = play(&mut exchange, &[buy(3, 100, 6)]);
    assert_eq!(events(&lines), ["trade 3/2 99 5 1", "trade 3/1 100 1 0"]);
}

#[test]
fn own_orders_are_met_in_their_turn_and_in_no_other_order() {
    for mode in SelfTrade::ALL {
        // Ids and accounts are spread, so that a table's order would show.
        let own = |id| Command { account: 9, ..sell(id, 100, 2) };
        let book = [own(77), sell(5, 100, 2), own(1_000_003), sell(900, 101, 2), own(3)];
        let aggressor = Command { account: 9, self_trade: mode, ..buy(42, 101, 7) };
        let expected: &[&str] = match mode {
            SelfTrade::None => {
                &["trade 42/77 100 2 5", "trade 42/5 100 2 3", "trade 42/1000003 100 2 1", "trade 42/3 100 1 0"]
            }
            SelfTrade::CancelNewest => &["cancelled 42 101 7 0 self_trade"],
            SelfTrade::CancelOldest => &[
                "cancelled 77 100 2 0 self_trade",
                "trade 42/5 100 2 5",
                "cancelled 1000003 100 2 0 self_trade",
                "cancelled 3 100 2 0 self_trade",
                "trade 42/900 101 2 3",
            ],
            SelfTrade::CancelBoth => &["cancelled 77 100 2 0 self_trade", "cancelled 42 101 7 0 self_trade"],
            SelfTrade::Decrement => &[
                "decremented 42/77 100 2 5",
                "cancelled 77 100 0 0 self_trade",
                "trade 42/5 100 2 3",
                "decremented 42/1000003 100 2 1",
                "cancelled 1000003 100 0 0 self_trade",
                "decremented 42/3 100 1 0",
                "cancelled 42 101 0 0 self_trade",
            ],
        };
        for _ in 0..3 {
            let mut exchange = plain();
            play(&mut exchange, &book);
            let lines = play(&mut exchange, &[aggressor]);
            assert_eq!(events(&lines), expected, "{mode:?}");
        }
    }
}

#[test]
fn a_decrease_keeps_the_place_and_an_increase_loses_it() {
    let mut exchange = plain();
    play(&mut exchange, &[buy(1, 100, 5), buy(2, 100, 5)]);
    play(&mut exchange, &[Command::modify(1, Price(100), Size(3))]);
    assert_eq!(ids(&exchange, Side::Bid), [1, 2]);
    play(&mut exchange, &[Command::modify(1, Price(100), Size(4))]);
    assert_eq!(ids(&exchange, Side::Bid), [2, 1]);
    play(&mut exchange, &[Command::replace(2, Price(100), Size(1))]);
    assert_eq!(ids(&exchange, Side::Bid), [1, 2]);
}

#[test]
fn a_market_to_limit_order_takes_one_price_and_rests_there() {
    let mut exchange = plain();
    let order = Command { order_type: OrderType::MarketToLimit, ..market(3, Side::Bid, 9) };
    let lines = play(&mut exchange, &[sell(1, 100, 5), sell(2, 101, 5), order]);
    assert_eq!(events(&lines), ["trade 3/1 100 5 4"]);
    assert_eq!((exchange.quote().bid, exchange.quote().bid_size), (Price(100), Size(4)));
    let lines = play(&mut plain(), &[order]);
    assert_eq!(lines, ["accepted 3 - 9 9", "cancelled 3 - 9 0 no_liquidity"]);
}

#[test]
fn stops_trigger_in_the_order_of_their_prices_and_each_trades_in_its_turn() {
    let mut exchange = plain();
    let stop = |id, trigger, size| Command {
        order_type: OrderType::Stop,
        trigger: Price(trigger),
        ..market(id, Side::Bid, size)
    };
    let limit = Command { order_type: OrderType::StopLimit, trigger: Price(101), ..buy(12, 102, 4) };
    let book = [sell(1, 100, 1), sell(2, 101, 1), sell(3, 102, 1), sell(4, 103, 9)];
    play(&mut exchange, &book);
    play(&mut exchange, &[stop(10, 102, 1), stop(11, 101, 1), limit]);
    let lines = play(&mut exchange, &[buy(20, 101, 2)]);
    assert_eq!(
        events(&lines),
        [
            "trade 20/1 100 1 1",
            "trade 20/2 101 1 0",
            "triggered 11 101 1 1",
            "triggered 12 101 4 4",
            "trade 11/3 102 1 0",
            "triggered 10 102 1 1",
            "trade 10/4 103 1 0",
        ]
    );
    assert_eq!(exchange.quote().bid, Price(102));
}

#[test]
fn a_trailing_stop_follows_the_best_trade_and_not_back() {
    let mut exchange = plain();
    play(&mut exchange, &[sell(1, 100, 1), buy(2, 100, 1)]);
    let trailing = Command { order_type: OrderType::TrailingStop, trigger: Price(3), ..market(10, Side::Ask, 1) };
    play(&mut exchange, &[trailing, buy(3, 90, 9)]);
    play(&mut exchange, &[sell(4, 105, 1), buy(5, 105, 1), sell(6, 103, 1), buy(7, 103, 1)]);
    assert_eq!(exchange.order(10).map(|order| order.trigger), Some(Price(102)));
    let lines = play(&mut exchange, &[sell(8, 102, 1), buy(9, 102, 1)]);
    assert_eq!(events(&lines), ["trade 9/8 102 1 0", "triggered 10 102 1 1", "trade 10/3 90 1 0"]);
}

#[test]
fn an_alternative_goes_before_the_aggressor_reaches_it() {
    let mut exchange = plain();
    let second = Command { link: 1, ..sell(2, 101, 5) };
    play(&mut exchange, &[sell(1, 100, 5), second, sell(3, 101, 5)]);
    let lines = play(&mut exchange, &[buy(9, 101, 8)]);
    assert_eq!(events(&lines), ["trade 9/1 100 5 3", "cancelled 2 101 5 0 linked", "trade 9/3 101 3 0"]);
}

#[test]
fn pegs_follow_the_displayed_quote() {
    let mut exchange = plain();
    let peg = |id, side, order_type, offset| Command {
        order_type,
        trigger: Price(offset),
        side,
        price: Price(Command::UNSET),
        ..buy(id, 0, 5)
    };
    play(&mut exchange, &[buy(1, 100, 1), sell(2, 107, 1)]);
    let lines = play(
        &mut exchange,
        &[peg(10, Side::Bid, OrderType::PegPrimary, 1), peg(11, Side::Bid, OrderType::PegMid, 0), buy(3, 102, 1)],
    );
    assert_eq!(
        lines,
        [
            "accepted 10 99 5 5",
            "accepted 11 103 5 5",
            "accepted 3 102 1 1",
            "repriced 10 101 5 5",
            "repriced 11 104 5 5",
        ]
    );
    let lines = play(&mut exchange, &[Command::cancel(2)]);
    assert_eq!(lines, ["cancelled 2 107 1 0 requested", "repriced 11 - 5 5"]);
    assert_eq!(exchange.quote().bid, Price(102));
}

#[test]
fn post_only_orders_are_rejected_or_slide() {
    let mut exchange = plain();
    let post = |id, post_only| Command { post_only, ..buy(id, 101, 1) };
    let lines = play(&mut exchange, &[sell(1, 100, 1), post(2, PostOnly::Reject), post(3, PostOnly::Slide)]);
    assert_eq!(lines[1..], ["rejected 2 - - - would_trade", "accepted 3 99 1 1"]);
}

#[test]
fn the_auction_takes_the_price_with_most_volume() {
    let mut exchange = exchange(Rules { state: State::PreOpen, ..Rules::default() });
    play(&mut exchange, &[buy(1, 103, 5), buy(2, 101, 5), sell(3, 100, 4), sell(4, 102, 4), sell(5, 101, 2)]);
    // At 101: demand 10, supply 6; at 102: 5 and 10; at 103: 5 and 10.
    assert_eq!(exchange.indicative(), Some(Indicative { price: Price(101), size: Size(6), imbalance: Size(4) }));
    let lines = play(&mut exchange, &[Command::state(State::Continuous)]);
    assert_eq!(
        lines,
        [
            "auction 0 101 6 4",
            "trade 1/3 101 4 1",
            "trade 1/5 101 1 0",
            "trade 2/5 101 1 4",
            "state 0 - - - continuous",
        ]
    );
    assert_eq!((exchange.quote().bid, exchange.quote().ask), (Price(101), Price(102)));
}

#[test]
fn ties_of_an_auction_go_to_the_side_that_presses_then_to_the_reference() {
    let auction = |reference, orders: &[Command]| {
        let mut exchange = exchange(Rules { state: State::PreOpen, reference, ..Rules::default() });
        play(&mut exchange, orders);
        exchange.indicative().map(|found| (found.price.0, found.size.0, found.imbalance.0))
    };
    // As much on both sides from 98 to 105.
    let even = [buy(1, 105, 5), sell(2, 98, 5)];
    assert_eq!(auction(None, &even), Some((101, 5, 0)));
    assert_eq!(auction(Some(100), &even), Some((100, 5, 0)));
    assert_eq!(auction(Some(110), &even), Some((105, 5, 0)));
    assert_eq!(auction(Some(90), &even), Some((98, 5, 0)));
    // More demand everywhere: the highest. More supply: the lowest.
    assert_eq!(auction(Some(100), &[buy(1, 105, 7), sell(2, 98, 5)]), Some((105, 5, 2)));
    assert_eq!(auction(Some(100), &[buy(1, 105, 5), sell(2, 98, 7)]), Some((98, 5, -2)));
}

#[test]
fn a_band_halts_and_the_halt_ends_with_an_auction() {
    let rules = Rules { band: Some(5), halt_for: 1_000, reference: Some(100), ..Rules::default() };
    let mut exchange = exchange(rules);
    play(&mut exchange, &[Command::clock(Nanos(10)), sell(1, 104, 1), sell(2, 106, 5)]);
    let lines = play(&mut exchange, &[buy(3, 110, 4)]);
    assert_eq!(lines, ["accepted 3 110 4 4", "trade 3/1 104 1 3", "state 0 - - - halted"]);
    let lines = play(&mut exchange, &[Command::clock(Nanos(1_009)), Command::clock(Nanos(1_010))]);
    assert_eq!(lines, ["auction 0 106 3 -2", "trade 3/2 106 3 0", "state 0 - - - continuous"]);
    assert_eq!(exchange.reference(), Some(Price(106)));
}

#[test]
fn a_fill_or_kill_whose_first_trade_sets_the_band_fills_whole_or_not_at_all() {
    let mut exchange = exchange(Rules { band: Some(5), ..Rules::default() });
    let order = Command { time_in_force: TimeInForce::Fok, ..market(3, Side::Bid, 10) };
    let lines = play(&mut exchange, &[sell(1, 100, 2), sell(2, 107, 40), order]);
    assert_eq!(events(&lines), ["cancelled 3 - 10 0 fok"]);
}

#[test]
fn a_halt_before_any_time_ends_at_its_time() {
    let rules = Rules { band: Some(4), halt_for: 30, reference: Some(100), ..Rules::default() };
    let mut exchange = exchange(rules);
    let lines = play(&mut exchange, &[sell(1, 105, 1), buy(2, 105, 1), Command::clock(Nanos(30))]);
    assert_eq!(
        lines[2..],
        ["state 0 - - - halted", "auction 0 105 1 0", "trade 2/1 105 1 0", "state 0 - - - continuous",]
    );
}

#[test]
fn pro_rata_shares_by_size_and_gives_the_rest_by_time() {
    let priority = Priority::ProRata { top_order: false, top_max: 0, min_allocation: 2 };
    let mut exchange = exchange(Rules { priority, ..Rules::default() });
    play(&mut exchange, &[sell(1, 100, 50), sell(2, 100, 30), sell(3, 100, 3), sell(4, 100, 17)]);
    let lines = play(&mut exchange, &[buy(9, 100, 33)]);
    // 33 × (50, 30, 3, 17) / 100 = 16.5, 9.9, 0.99, 5.61: 16, 9, 0, 5, and three more to the first.
    assert_eq!(events(&lines), ["trade 9/1 100 19 14", "trade 9/2 100 9 5", "trade 9/4 100 5 0"]);
}

#[test]
fn the_order_that_set_the_price_goes_first_up_to_its_limit() {
    let priority = Priority::ProRata { top_order: true, top_max: 4, min_allocation: 0 };
    let mut exchange = exchange(Rules { priority, ..Rules::default() });
    play(&mut exchange, &[sell(1, 101, 9), sell(2, 100, 10), sell(3, 100, 10)]);
    let lines = play(&mut exchange, &[buy(9, 100, 10)]);
    // 4 to order 2, then 6 shared 6 : 10 is 2 and 3, and the last one by time.
    assert_eq!(events(&lines), ["trade 9/2 100 7 3", "trade 9/3 100 3 0"]);
}

#[test]
fn fees_are_rounded_against_the_account() {
    let tiers = vec![Tier { maker: -100_000, taker: 400_000, auction: 0 }];
    let mut exchange = exchange(Rules { tiers, ..Rules::default() });
    let mut fees = Vec::new();
    for command in [sell(1, 1_001, 3), buy(2, 1_001, 3)] {
        exchange.apply(&command, |e| fees.push((e.fee, e.counter_fee)));
    }
    // 3,003 at 0.04 % is 1.2012, at -0.01 % is -0.3003.
    assert_eq!(fees.last(), Some(&(2, 0)));
}

#[test]
fn a_quote_is_replaced_without_meeting_itself() {
    let mut exchange = plain();
    let quote = |bid, ask| Command::quote(7, (1, Price(bid), Size(5)), (2, Price(ask), Size(5)));
    play(&mut exchange, &[quote(100, 102)]);
    let lines = play(&mut exchange, &[quote(103, 105), quote(103, 105), quote(90, 91)]);
    assert_eq!(
        lines,
        [
            "modified 1 103 5 5",
            "modified 2 105 5 5",
            "modified 1 103 5 5",
            "modified 2 105 5 5",
            "modified 1 90 5 5",
            "modified 2 91 5 5",
        ]
    );
    assert_eq!((exchange.quote().bid, exchange.quote().ask), (Price(90), Price(91)));
}

#[test]
fn every_reject_says_why_and_changes_nothing() {
    let rules = Rules {
        tick: 5,
        lot: 10,
        min_size: 20,
        max_size: 1_000,
        max_notional: Some(100_000),
        collar: Some(50),
        reference: Some(100),
        accounts: vec![Account { id: 1, tier: 0 }, Account { id: 2, tier: 0 }],
        rate: 100,
        ..Rules::default()
    };
    let mut exchange = exchange(rules);
    play(&mut exchange, &[sell(1, 100, 100).at(Nanos(50))]);
    let gtd = Command { time_in_force: TimeInForce::Gtd, expires: Nanos(50), ..buy(2, 95, 20) };
    let cases = [
        (buy(2, 95, 20).by(3), "unknown_account"),
        (buy(2, 95, 20).at(Nanos(49)), "time_reversed"),
        (buy(0, 95, 20), "invalid_field"),
        (buy(2, 95, 0), "invalid_field"),
        (Command { display: Size(-1), ..buy(2, 95, 20) }, "invalid_field"),
        (Command { trigger: Price(1), ..buy(2, 95, 20) }, "invalid_field"),
        (Command { order_type: OrderType::Market, ..buy(2, 95, 20) }, "invalid_field"),
        (buy(1, 95, 20), "duplicate_id"),
        (Command::cancel(2), "unknown_order"),
        (Command::cancel(1).by(1), "not_owner"),
        (Command::modify(1, Price(100), Size(50)).by(1), "not_owner"),
        (buy(2, 96, 20), "off_tick"),
        (buy(2, 95, 25), "off_lot"),
        (buy(2, 95, 10), "too_small"),
        (buy(2, 95, 1_010), "too_large"),
        (buy(2, 150, 700), "notional"),
        (buy(2, 155, 20), "collar"),
        (sell(2, 45, 20), "collar"),
        (Command { time_in_force: TimeInForce::AtOpen, ..buy(2, 95, 20) }, "wrong_state"),
        (Command { link: 9, ..buy(2, 95, 20) }, "bad_link"),
        (Command { link: 1, ..buy(2, 95, 20) }, "bad_link"),
        (gtd, "expired"),
        (Command { post_only: PostOnly::Reject, ..buy(2, 100, 20) }, "would_trade"),
        (Command::state(State::Continuous), "wrong_state"),
    ];
    let before = exchange.orders();
    for (command, reason) in cases {
        let lines = play(&mut exchange, &[command]);
        assert_eq!(lines.len(), 1, "{command:?}: {lines:?}");
        assert!(lines[0].ends_with(&format!(" {reason}")), "{command:?}: {lines:?}");
        assert_eq!(exchange.orders(), before);
    }
    play(&mut exchange, &[Command { account: 1, ..Command::new(Action::Kill) }]);
    assert_eq!(play(&mut exchange, &[buy(2, 95, 20)]), ["rejected 2 - - - killed"]);
    play(&mut exchange, &[Command { account: 1, ..Command::new(Action::Revive) }, Command::state(State::Closed)]);
    assert_eq!(play(&mut exchange, &[buy(2, 95, 20)]), ["rejected 2 - - - closed"]);
}

#[test]
fn commands_of_an_account_are_counted_by_window() {
    let mut exchange = exchange(Rules { rate: 2, rate_window: 100, ..Rules::default() });
    let at = |id, ts| buy(id, 100, 1).at(Nanos(ts));
    let lines = play(&mut exchange, &[at(1, 110), at(2, 120), at(3, 199), Command::cancel(1).by(1), at(4, 200)]);
    assert_eq!(lines[2..], ["rejected 3 - - - rate_limited", "cancelled 1 100 1 0 requested", "accepted 4 100 1 1"]);
}

#[test]
fn the_short_way_and_the_general_one_say_the_same() {
    // A limit on the rate that nobody reaches sends every command the general way.
    let general = Rules { rate: u32::MAX, ..Rules::default() };
    let mut short = 0;
    for seed in 0..200 {
        let (mut one, mut other) = (plain(), exchange(general.clone()));
        let mut commands = Generator::new(seed, &Rules::default());
        // Plain orders and cancels alone now and then, so that the short way is open.
        let (mut live, mut next_id) = (Vec::new(), 1_000_000);
        for number in 0..2_000_u64 {
            let command = if number / 200 % 2 == 0 {
                commands.plain(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), &mut live, &mut next_id, 20)
            } else {
                commands.next()
            };
            short += u32::from(one.plain);
            let said = |exchange: &mut Exchange| {
                let mut all = Vec::new();
                exchange.apply(&command, |execution| all.push(*execution));
                all
            };
            assert_eq!(said(&mut one), said(&mut other), "seed {seed}, command {number}: {command:?}");
        }
        assert_eq!(one.orders(), other.orders());
    }
    assert!(short > 30_000, "{short}");
}
