//! Log lines as syslog brings them: few tags, and one string of 200 to 600 bytes.

use super::digits::write_digits;
use super::random::Random;
use super::time::Cycle;
use super::{Lines, Plan};

/// Messages of one host after the other.
pub struct Logs {
    random: Random,
    cycle: Cycle,
}

impl Logs {
    pub fn new(plan: Plan) -> Self {
        let Plan { hosts, random, time } = plan;
        Self { random, cycle: Cycle::new(hosts, time) }
    }

    /// Sentences until the message is long enough. One message in eight needs escapes, one in sixteen is not ASCII alone.
    fn write_message(&mut self, out: &mut Vec<u8>) {
        let random = &mut self.random;
        let end = out.len() + 1 + random.between(BYTES_MIN as i64, (BYTES_MAX - SENTENCE_BYTES_MAX) as i64) as usize;
        if random.once_in(8) {
            let sentence = random.pick(&ESCAPED);
            write_sentence(sentence, random, out);
        }
        if random.once_in(16) {
            let sentence = random.pick(&FOREIGN);
            write_sentence(sentence, random, out);
        }
        while out.len() < end {
            let sentence = random.pick(&PLAIN);
            write_sentence(sentence, random, out);
        }
        out.pop(); // the space behind the last sentence
    }
}

impl Lines for Logs {
    fn write_line(&mut self, out: &mut Vec<u8>) {
        let app = self.random.pick(&["nginx", "checkout", "checkout", "postgres"]);
        let severity = self.random.pick(&["info", "info", "info", "info", "info", "warning", "err", "debug"]);
        let host = self.cycle.line;
        out.extend_from_slice(
            format!("syslog,appname={app},facility=daemon,host=web-{host:05},severity={severity} message=\"")
                .as_bytes(),
        );
        self.write_message(out);
        out.push(b'"');
        self.cycle.end_line(out);
    }
}

/// Writes a sentence and a space; each `#` in it becomes a number, each `~` a byte of an address.
fn write_sentence(sentence: &str, random: &mut Random, out: &mut Vec<u8>) {
    for byte in sentence.bytes() {
        match byte {
            b'#' => {
                let digits = random.between(1, 6) as u32;
                write_digits(random.below(10_u64.pow(digits)), out);
            }
            b'~' => write_digits(random.below(256), out),
            byte => out.push(byte),
        }
    }
    out.push(b' ');
}

/// Bytes of a message as written.
const BYTES_MIN: usize = 200;
const BYTES_MAX: usize = 600;
/// Most bytes that the last sentence adds.
const SENTENCE_BYTES_MAX: usize = 160;

const PLAIN: [&str; 14] = [
    "level=info msg=request handled, method=GET, path=/api/v1/orders/#, status=200, bytes=#, duration=#us",
    "connection from 10.1.~.~:# accepted, # of 1024 in use",
    "connection closed by peer after #ms: 10.1.~.~ sent # bytes in # requests",
    "cache miss for key user:#:profile, asking replica # (lag #ms)",
    "checkpoint complete: wrote # buffers (0.#%); # WAL file(s) added, # removed; write=#.# s, sync=0.# s, total=#.# s",
    "java.lang.IllegalStateException: order # has no payment at com.example.shop.OrderService.place(OrderService.java:#)",
    "at com.example.shop.web.OrderController.post(OrderController.java:#) [shop-1.42.0.jar!/:?]",
    "retrying in #ms (attempt # of 5): upstream timed out (110: Connection timed out) while reading response header",
    "worker # took # jobs from queue mail, # left; oldest is # s old",
    "GC pause (G1 Evacuation Pause) (young) #M->#M(4096M) #.#ms",
    "slow query: SELECT id, total FROM orders WHERE customer = # AND state <> 4 ORDER BY id DESC LIMIT 50 -- #ms, # rows",
    "certificate of payments.example expires in # days; renewal is due",
    "user # signed in from 192.0.2.~, session 7f#c#e#",
    "rate limit: # requests in 10 s by token #, allowed are 500; answered 429",
];

const ESCAPED: [&str; 4] = [
    r#"10.1.~.~ - - [21/Nov/2026:10:#:# +0000] \"GET /img/#.png HTTP/1.1\" 304 0 \"https://shop.example/\" \"Mozilla/5.0 (X11)\""#,
    r#"{\"event\":\"order\",\"id\":#,\"total\":#.99,\"items\":[{\"sku\":\"A-#\",\"count\":#}]}"#,
    r"cannot open C:\\Windows\\Temp\\batch-#.log: sharing violation (32)",
    r#"unexpected token \"}\" in D:\\data\\import\\#.json, line #"#,
];

const FOREIGN: [&str; 3] = [
    "Größe der Warteschlange überschritten: # von # Einträgen",
    "façade réservée, n° # → état « échoué » après # ms",
    "注文 # の支払いを確認しました。",
];
