//! Peers that others wrote: mosquitto_pub, paho and a pymodbus server.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    fixture::{BROKER, Fixture, JSON_TOPIC, QUICK, broker_of, drained, eventually, free_port},
    publisher::TOPIC,
};

const MOSQUITTO_PUB: &str = "/usr/bin/mosquitto_pub";
const PYTHON: &str = "/usr/bin/python3";

/// These tests show that real peers work: without them they fail, with what to do.
fn need(program: &str, check: &[&str], package: &str) {
    let works = Path::new(program).exists() && Command::new(program).args(check).output().is_ok_and(|out| out.status.success());
    assert!(works, "this test needs {program} {}: apt-get install -y {package} (cargo xtask test does that)", check.join(" "));
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_pub_publishes_json_and_plain_numbers() {
    assert!(
        Path::new(MOSQUITTO_PUB).exists(),
        "this test needs {MOSQUITTO_PUB}: apt-get install -y mosquitto-clients (cargo xtask test does that)"
    );
    let fixture = Fixture::with_collector().await;
    let number = "[[topic]]\ntemplate = \"{site}/{area}/{line}/{machine}/{signal}\"\npayload = \"number\"\n";
    let app = fixture.start(&format!("{BROKER}{JSON_TOPIC}{number}{QUICK}")).await;
    let port = broker_of(&app).port().to_string();
    for (topic, message) in [(TOPIC, "{\"spindle_temperature\":61.5}"), ("plant1/press-shop/line1/press-2/active_power", "4.25")] {
        let args = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-m", message];
        let status = Command::new(MOSQUITTO_PUB).args(args).status().unwrap();
        assert!(status.success());
    }
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        let mut values: Vec<(String, f64)> = taken.windows().map(|w| (format!("{}/{}", w.asset.machine(), w.signal), w.mean)).collect();
        values.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(values, [("press-1/spindle_temperature".to_owned(), 61.5), ("press-2/active_power".to_owned(), 4.25)]);
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_publishes_with_qos_1_and_2() {
    need(PYTHON, &["-c", "import paho.mqtt.client"], "python3-paho-mqtt");
    let fixture = Fixture::with_collector().await;
    let app = fixture.start(&format!("{BROKER}{JSON_TOPIC}{QUICK}")).await;
    let script = format!(
        "import paho.mqtt.client as mqtt\n\
         try:\n    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, client_id='paho')\n\
         except AttributeError:\n    client = mqtt.Client(client_id='paho')\n\
         client.connect('127.0.0.1', {}, 60)\n\
         client.loop_start()\n\
         for qos in (1, 2):\n    for n in range(100):\n        client.publish('{TOPIC}', '{{\"n\": %d}}' % n, qos=qos).wait_for_publish()\n\
         client.disconnect()\nclient.loop_stop()\n",
        broker_of(&app).port()
    );
    let output = Command::new(PYTHON).args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drained(&app).await;
    assert_eq!(fixture.collector().taken().readings(), 200);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pymodbus_server_is_polled() {
    need(PYTHON, &["-c", "import pymodbus.server"], "python3-pymodbus python3-serial python3-serial-asyncio");
    let fixture = Fixture::with_collector().await;
    let port = free_port();
    let server = PyModbus::start(port);
    let config = format!(
        "[[modbus]]\nname = \"press-7\"\naddress = \"127.0.0.1:{port}\"\nunit_id = 1\nasset = \"plant1/press-shop/line2/press-7\"\n\
         interval = \"100ms\"\ntimeout = \"2s\"\ntable = \"holding\"\n\
         [[modbus.register]]\nsignal = \"spindle_temperature\"\naddress = 8\ntype = \"float32\"\nunit = \"Cel\"\n\
         [[modbus.register]]\nsignal = \"active_power\"\naddress = 12\ntype = \"int16\"\nunit = \"kW\"\nscale = 0.01\n{QUICK}"
    );
    let app = fixture.start(&config).await;
    let collector = fixture.collector();
    eventually("summaries of both signals", || {
        let taken = collector.taken();
        ["spindle_temperature", "active_power"].iter().all(|signal| taken.windows().any(|w| w.signal.as_str() == *signal))
    })
    .await;
    {
        let taken = collector.taken();
        for window in taken.windows() {
            let expected = if window.signal.as_str() == "active_power" { -4.5 } else { 61.25 };
            assert!((window.mean - expected).abs() < 1e-9, "{window:?}");
        }
    }
    app.stop().await.unwrap();
    drop(server);
}

struct PyModbus(Child);

impl PyModbus {
    /// Registers 8-9 hold 61.25 as a float, 12 holds -450.
    fn start(port: u16) -> Self {
        let script = format!(
            "import struct, sys\n\
             from pymodbus.datastore import ModbusSequentialDataBlock, ModbusSlaveContext, ModbusServerContext\n\
             from pymodbus.server import StartTcpServer\n\
             high, low = struct.unpack('>HH', struct.pack('>f', 61.25))\n\
             words = [0] * 8 + [high, low, 0, 0, 65536 - 450] + [0] * 20\n\
             store = ModbusSlaveContext(hr=ModbusSequentialDataBlock(0, words), zero_mode=True)\n\
             print('ready', flush=True)\n\
             StartTcpServer(context=ModbusServerContext(slaves=store, single=True), address=('127.0.0.1', {port}))\n"
        );
        let mut child = Command::new(PYTHON).args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready", "the pymodbus server did not start");
        Self(child)
    }
}

impl Drop for PyModbus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
