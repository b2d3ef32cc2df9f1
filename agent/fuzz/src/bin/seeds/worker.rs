//! Replies of a worker, and a request and a reply with their lengths.

use crate::{Seeds, texts};

const SAMPLED: &str = r#"{"id":1,"outcome":"sampled","reason":"","parts":[{"name":"GPU-1","points":[{"name":"hw.power","attributes":{"hw.id":"GPU-1","hw.type":"gpu"},"time":1700000000000000000,"value":31.5},{"name":"hw.energy","attributes":{"hw.id":"GPU-1"},"time":1700000000000000000,"start":1690000000000000000,"value":77},{"name":"accel.process.memory.usage","attributes":{"process.pid":7},"owner":null,"time":9,"value":1024},{"name":"accel.process.memory.usage","attributes":{},"owner":{"pid":7,"start_ticks":12},"time":9,"value":18446744073709541615}]}],"skipped":{"no_sample":2},"successor":"{}"}"#;
const RENEWAL: &str = r#"{"id":2,"outcome":"retry","reason":"a call did not return","parts":[],"skipped":{},"renewal":"{\"x\":1}","renewal_reason":"hung"}"#;
const GONE: &str = r#"{"id":3,"outcome":"gone","reason":"unplugged"}"#;
const ODD: &str = r#"{"id":4,"outcome":"sampled","parts":[{"name":"","points":[{"name":"hw.power","attributes":{"hw.id":[1]},"time":1,"value":1e300},{"name":"hw.nonsense","time":1,"value":-0.0},{"name":"agent.sampler.duration","attributes":{"agent.sampler":"x"},"time":1,"start":1,"value":{"sum":0.5,"buckets":[1,2,3,4,5,6,7]}},{"name":"hw.energy","time":1,"value":3}]},{"name":"","points":[]}]}"#;

pub(crate) fn seeds() -> Seeds {
    let mut seeds = texts(&[("sampled", SAMPLED), ("renewal", RENEWAL), ("gone", GONE), ("odd", ODD)]);
    let several = [SAMPLED, GONE, SAMPLED, ODD].join("\n");
    seeds.push(("several".to_owned(), several.into()));
    let counter = |time: u64, value: u64| {
        SAMPLED
            .replace("\"time\":1700000000000000000", &format!("\"time\":{time}"))
            .replace("77", &value.to_string())
    };
    // The clock steps back, and the counter with it.
    let back = [counter(30, 7), counter(40, 3), counter(20, 5), counter(50, 9)].join("\n");
    seeds.push(("clock-back".to_owned(), back.into()));
    for (name, body) in [("framed", GONE), ("request", r#"{"id":7}"#)] {
        let length = (body.len() as u32).to_le_bytes();
        seeds.push((name.to_owned(), [&length, body.as_bytes()].concat()));
    }
    seeds.push(("too-long".to_owned(), (5_u32 << 20).to_le_bytes().to_vec()));
    seeds
}
