// A small line chart on a canvas, for builds without uPlot. The same interface as in charts.js.

const LEFT = 64, BOTTOM = 22, TOP = 8, RIGHT = 22;

export class Plot {
  constructor(canvas, spec, colour) {
    this.canvas = canvas;
    this.spec = spec;
    this.colour = colour;
    this.data = null;
  }

  resize(width, height) {
    const scale = window.devicePixelRatio || 1;
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.canvas.getContext("2d").setTransform(scale, 0, 0, scale, 0, 0);
    this.draw();
  }

  setData(data, from, to, ticks) {
    Object.assign(this, {data, from, to, ticks, top: ticks[ticks.length - 1]});
    this.draw();
  }

  x(time) {
    return LEFT + (time - this.from) / (this.to - this.from) * (this.width - LEFT - RIGHT);
  }

  y(value) {
    return this.height - BOTTOM - value / this.top * (this.height - BOTTOM - TOP);
  }

  draw() {
    if (!this.data || !(this.width > LEFT + RIGHT)) return;
    const g = this.canvas.getContext("2d");
    g.clearRect(0, 0, this.width, this.height);
    this.drawGrid(g);
    g.save();
    g.beginPath();
    g.rect(LEFT, 0, this.width - LEFT - RIGHT, this.height);
    g.clip();
    this.spec.series.forEach((series, i) => this.drawLine(g, this.data[i + 1], series));
    g.restore();
  }

  drawGrid(g) {
    g.font = `11px ${this.colour("--font")}`;
    g.strokeStyle = this.colour("--line");
    g.fillStyle = this.colour("--muted");
    g.lineWidth = 1;
    g.textAlign = "right";
    g.textBaseline = "middle";
    for (const value of this.ticks) {
      const y = Math.round(this.y(value)) + 0.5;
      g.beginPath();
      g.moveTo(LEFT, y);
      g.lineTo(this.width - RIGHT, y);
      g.stroke();
      g.fillText(this.spec.axis(value), LEFT - 8, y);
    }
    g.textAlign = "center";
    g.textBaseline = "alphabetic";
    for (let i = 1; i < 4; i++) {
      const time = this.from + (this.to - this.from) * i / 4;
      g.fillText(new Date(time * 1000).toLocaleTimeString("en-GB"), this.x(time), this.height - 6);
    }
  }

  drawLine(g, values, series) {
    const times = this.data[0];
    let begun = null;
    const close = last => {
      if (begun === null) return;
      g.stroke(line);
      line.lineTo(this.x(times[last]), this.y(0));
      line.lineTo(this.x(times[begun]), this.y(0));
      g.fill(line);
      begun = null;
    };
    let line = new Path2D();
    g.strokeStyle = this.colour(series.colour);
    g.fillStyle = this.colour(`${series.colour}-fill`);
    g.lineWidth = 1.75;
    g.lineJoin = "round";
    for (let i = 0; i < times.length; i++) {
      if (values[i] === null) {
        close(i - 1);
        continue;
      }
      if (begun === null) {
        line = new Path2D();
        line.moveTo(this.x(times[i]), this.y(values[i]));
        begun = i;
      } else {
        line.lineTo(this.x(times[i]), this.y(values[i]));
      }
    }
    close(times.length - 1);
  }
}
